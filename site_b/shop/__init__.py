"""Products, the cart and orders."""
