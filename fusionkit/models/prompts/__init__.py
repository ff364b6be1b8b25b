"""Prompts: as tokens, in chunks, and encoded with their weights."""
