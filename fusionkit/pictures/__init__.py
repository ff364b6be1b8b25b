"""Pictures and files: opened, written whole or not at all, and what stands inside them."""
