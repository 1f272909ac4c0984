"""The workers: jobs that apply stored deliveries to bookings and send notifications."""

from runtime.process.python_check import check_python

check_python()
