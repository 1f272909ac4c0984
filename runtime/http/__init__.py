"""HTTP: the servers that our processes run, and what their apps share."""
