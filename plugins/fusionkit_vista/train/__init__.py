"""Trains what `vista` is made of: `python -m fusionkit_vista.train COMMAND`; see README.md of the package."""
