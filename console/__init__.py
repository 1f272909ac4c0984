"""The operators' desk: the command line."""

from runtime.process.python_check import check_python

check_python("click", "rich")
