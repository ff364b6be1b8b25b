"""IP-Adapters: checked by their headers, loaded by diffusers, and what their image encoders see in pictures."""
