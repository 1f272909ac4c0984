"""One module for each resource of the API: its schema and its rules."""
