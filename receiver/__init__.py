"""The HTTP receiver: authenticate, persist, trigger a worker, acknowledge."""

from runtime.python_check import check_python

check_python()
