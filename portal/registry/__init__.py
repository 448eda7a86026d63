"""Sites, their origins, and who may do what there."""
