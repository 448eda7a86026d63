"""The feed: what each site is told about users, in order."""
