"""The operators' desk: the command line."""

from runtime.python_check import check_python

check_python("click", "rich")
