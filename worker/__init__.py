"""The back room: jobs that turn what was accepted into bookings, and bookings into news."""

from runtime.process.python_check import check_python

check_python()
