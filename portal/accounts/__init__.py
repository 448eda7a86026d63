"""Users: one row a person, one version a change."""
