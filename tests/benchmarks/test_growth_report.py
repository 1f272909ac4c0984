"""What the benchmarks say is computed from what they measured."""

from typing import Any

from benchmarks.growth import report

FELT = {"p50": 3.0, "p99": 9.0, "max": 40.0}


def measured(many: float) -> dict[str, Any]:
    side = {"rate": [1000.0, 1000.0], "processor": [1.0, 1.0], "rows": [6_000.0, 7_000.0]}
    sides = {"few": side, "many": {**side, "rate": [many, many], "rows": [1_005_000.0, 1_006_000.0]}}
    pruned = {"before": FELT, "during": FELT, "old": 10, "removed": 10, "seconds": 1.0, "is_over": True}
    backlog = {"waiting": 10, "backlog": {"first": [10.0, 10.0], "last": [10.0, 10.0]}}
    each = {"door": sides, "room": sides, "pruning": pruned, "backlog": backlog}
    return {"sizes": {"few": 1000, "many": 1_000_000}, "postgresql": each, "sqlite": each}


def test_growth_within_the_promise_is_kept() -> None:
    assert "PostgreSQL, the door: kept (measured 1.11 times)" in report.show(measured(900.0))


def test_more_growth_than_promised_is_said() -> None:
    assert "SQLite, the back room: **missed**: measured 2.00 times, promised 1.25 times" in report.show(measured(500.0))


def test_how_many_rows_each_side_held_by_then_is_said() -> None:
    assert "| 6,500 and 1,005,500 |" in report.show(measured(900.0))
