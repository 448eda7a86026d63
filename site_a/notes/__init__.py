"""Notes, which are private until their owners make them public."""
