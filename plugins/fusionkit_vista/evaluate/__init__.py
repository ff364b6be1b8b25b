"""What the models of vista draw, measured: `python -m fusionkit_vista.evaluate WHAT`."""
