"""The HTTP receiver: authenticate, persist, trigger a worker, acknowledge."""

from runtime.process.python_check import check_python

check_python()
