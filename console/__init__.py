"""The operators' desk: the command line."""

from models.installed import check_python

check_python("click", "rich")
