"""Databases that do not store UTF-8: what fits is stored, and migrate reports the rest."""

from collections.abc import Callable
from typing import Any

import pytest

from devtools.send import samples
from models.delivery import Delivery
from models.notification import Notification
from tests.another_database import another_database
from tests.console.cli import run_cli
from tests.worker.harness import AT, START, Harness

AS_IT_IS = "ENCODING '{}' LOCALE 'C' TEMPLATE template0"


def booked(number: int, name: str) -> dict[str, Any]:
    return samples.created(f"b{number}", START, AT, attendees=[{**samples.guest(number), "fullname": name}])


@pytest.fixture
def open_on(open_harness: Callable[..., Harness]) -> Callable[[str], Harness]:
    return lambda url: open_harness(database_url=url)


def test_one_name_that_latin_1_cannot_encode_stops_no_other(
    postgresql_url: str, open_on: Callable[[str], Harness]
) -> None:
    with another_database(postgresql_url, "platform_l1", AS_IT_IS.format("LATIN1")) as url:
        harness = open_on(url)
        done = run_cli("migrate")
        assert done.exit_code == 0
        assert "encoding is LATIN1" in done.stderr
        harness.deliver(booked(1, "Jörg"), booked(2, "Łukasz 😀"), booked(3, "José"))
        harness.process_due()
        harness.send_all()
        rows = {row.booking_id: row for row in harness.all(Delivery)}
        assert [rows[name].status for name in ("b1", "b3")] == ["done", "done"]
        assert rows["b2"].status in ("pending", "dead")
        assert {row.status for row in harness.all(Notification)} == {"done"}
        harness.services.database.close()


def test_a_database_with_encoding_sql_ascii_is_rejected(postgresql_url: str, open_on: Callable[[str], Harness]) -> None:
    with another_database(postgresql_url, "platform_ascii", AS_IT_IS.format("SQL_ASCII")) as url:
        harness = open_on(url)
        done = run_cli("migrate")
        assert done.exit_code == 1
        assert "encoding is SQL_ASCII, which does not know characters" in done.stderr
        assert "Traceback" not in done.stderr
        harness.services.database.close()
