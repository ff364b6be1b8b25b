"""The adapters: a diffusers pipeline as the loop uses it."""
