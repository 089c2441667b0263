"""Something to a Network: one file a front end."""
