"""`python -m benchmarks.worker.plain_loop`: process everything due in batches, without a queue.

The 100 % mark.
"""

import time
from datetime import UTC, datetime

from benchmarks.worker.processing import process
from models.delivery import Delivery
from worker.services import services

BATCH = 200
REST_SECONDS = 0.1


def main() -> None:
    """Stay until terminated, so that its memory can be read when all is done."""
    while True:
        while _batch():
            pass
        time.sleep(REST_SECONDS)


def _batch() -> bool:
    with services().database.transaction() as session:
        due = Delivery.claim_due(session, "new", datetime.now(UTC), BATCH)
        process(session, due)
    return bool(due)


if __name__ == "__main__":
    main()
