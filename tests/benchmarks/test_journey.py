"""The end-to-end benchmark sees bookings made by the real receiver and worker."""

from itertools import count
from pathlib import Path

from benchmarks.journey.latency import QUICK, latency
from benchmarks.rounds import Rounds
from benchmarks.stores import Stores


def test_each_delivery_is_seen_as_a_booking_after_some_time(tmp_path: Path, redis_url: str) -> None:
    stores = Stores(tmp_path, redis_url, "", count())
    results = latency(stores, "sqlite", Rounds(1), quick=True)
    assert len(results["milliseconds"]) == QUICK
    assert all(each > 0 for each in results["milliseconds"])
