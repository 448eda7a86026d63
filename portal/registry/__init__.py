"""Sites, their origins, and who has which role there."""
