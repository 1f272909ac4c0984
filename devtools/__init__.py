"""Tools for development, in no image: run, demo, send, and the stand-in for meetergo."""
