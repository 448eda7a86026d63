"""The feed: the changes to users that each site may see, in order."""
