"""Presets: what `--preset NAME` says, a file each; `fusionkit/recipe/presets.py` reads them."""
