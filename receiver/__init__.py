"""The door: authenticate, store, ring, acknowledge."""

from models.installed import check_python

check_python()
