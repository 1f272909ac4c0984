"""Commands for the installation itself: state, schema, accounts, access, privacy."""
