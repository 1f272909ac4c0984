"""`python -m tests.console.impatient_schedule`: the schedule, with alerts each second, and calm after two."""

from datetime import timedelta

from models import incident
from worker import schedule

incident.CALM = timedelta(seconds=2)
schedule.SCHEDULE["alerts"] = (timedelta(seconds=1), schedule.SCHEDULE["alerts"][1])

if __name__ == "__main__":
    schedule.main()
