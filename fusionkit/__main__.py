"""`python -m fusionkit` is the command line."""

from fusionkit.cli import main

main(prog_name="fusionkit")
