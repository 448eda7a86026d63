"""System checks; written next."""
