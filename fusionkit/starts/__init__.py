"""Beginnings: a plugin's package, and a recipe's file, written from templates for their authors to change."""
