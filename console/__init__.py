"""The operators' desk: the command line."""
