"""What users of a site can own: every kind of relation to a user. For the tests of merging users."""
