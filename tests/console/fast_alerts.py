"""`python -m tests.console.fast_alerts`: the scheduler, with alerts each second, resolved after two."""

from datetime import timedelta

from models import incident
from worker import scheduler

incident.RESOLVE_AFTER = timedelta(seconds=2)
scheduler.SCHEDULE["alerts"] = (timedelta(seconds=1), scheduler.SCHEDULE["alerts"][1])

if __name__ == "__main__":
    scheduler.main()
