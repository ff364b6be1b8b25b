"""LoRAs: found, read, fitted to a model, put on it and taken off again."""
