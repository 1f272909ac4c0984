"""The report of a reconciliation says each reason once."""

import pytest

from worker.reconcile.report import ReadError, ReconcileReport


@pytest.mark.parametrize(
    ("errors", "summary"),
    [
        ([], None),
        ([("host 1", "403")], "host 1: 403"),
        ([(f"host {number}", "403") for number in range(1, 6)], "host 1, host 2, host 3 and 2 more: 403"),
        ([("host 1", "403"), ("host 2", "404"), ("host 3", "403")], "host 1, host 3: 403; host 2: 404"),
        (
            [(f"host {number}", f"{number}") for number in range(1, 5)],
            "host 1: 1; host 2: 2; host 3: 3; and 1 more error",
        ),
    ],
)
def test_hosts_that_fail_for_the_same_reason_are_one_error(errors: list[tuple[str, str]], summary: str | None) -> None:
    assert ReconcileReport(read_errors=[ReadError(*error) for error in errors]).error_summary == summary
