"""Notes and who may see them."""
