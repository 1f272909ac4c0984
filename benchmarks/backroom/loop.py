"""`python -m benchmarks.backroom.loop`: works off all that is due in batches, with no queue at all. The 100 % mark."""

from datetime import UTC, datetime

from benchmarks.backroom.one import process
from models.delivery import Delivery
from worker.office import office

BATCH = 200


def main() -> None:
    """Until nothing is due."""
    while _batch():
        pass


def _batch() -> bool:
    with office().database.transaction() as session:
        due = Delivery.take_due(session, datetime.now(UTC), BATCH)
        process(session, due)
    return bool(due)


if __name__ == "__main__":
    main()
