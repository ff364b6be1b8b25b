"""What a recipe costs on this machine: its time taken apart, its memory, and what else costs how much beside it."""
