"""The pictures of the documentation, by what they show; `docs/make_pictures.py` makes them."""
