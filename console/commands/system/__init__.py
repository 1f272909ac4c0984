"""Commands for the installation itself: state, schema, retention, privacy."""
