"""The door: authenticate, store, ring, acknowledge."""

from runtime.python_check import check_python

check_python()
