"""What the tables of the documentation are made of."""
