"""The adapters: one family of models a file."""
