"""The command line for operators."""

from runtime.process.python_check import check_python

check_python("click", "rich")
