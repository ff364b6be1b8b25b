"""A drawer of captioned landscapes in two styles, and small diffusion models that were trained on its drawings.

Importing this package loads no array library.
"""
