"""Whole pictures, drawn by workers: asked for by this process, which alone writes what comes."""
