"""The benchmarks' verdicts are computed from their measurements."""

from typing import Any

from benchmarks.growth import report

FELT = {"p50": 3.0, "p99": 9.0, "max": 40.0}


def measured(many: float) -> dict[str, Any]:
    side = {"rate": [1000.0, 1000.0], "processor": [1.0, 1.0], "rows": [6_000.0, 7_000.0]}
    sides = {"few": side, "many": {**side, "rate": [many, many], "rows": [1_005_000.0, 1_006_000.0]}}
    pruned = {"before": FELT, "during": FELT, "old": 10, "removed": 10, "seconds": 1.0, "is_over": True}
    backlog = {"waiting": 10, "backlog": {"first": [10.0, 10.0], "last": [10.0, 10.0]}}
    each = {"receiver": sides, "worker": sides, "pruning": pruned, "backlog": backlog}
    return {"sizes": {"few": 1000, "many": 1_000_000}, "postgresql": each, "sqlite": each}


def test_growth_within_the_target_passes() -> None:
    assert "PostgreSQL, the receiver: kept (measured 1.11 times)" in report.show(measured(900.0))


def test_growth_beyond_the_target_is_reported() -> None:
    assert "SQLite, the worker: **missed**: measured 2.00 times, promised 1.25 times" in report.show(measured(500.0))


def test_the_number_of_rows_of_each_side_is_reported() -> None:
    assert "| 6,500 and 1,005,500 |" in report.show(measured(900.0))
