"""The code in docs/platform.md works as printed."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from devtools.send import samples
from models.booking import Booking
from models.notification import Notification
from operations.users.host_file import read_host_file
from tests.raw_sql import sql
from tests.worker.harness import AT, START, Harness

PAGE_FOLDER = Path(__file__).parent.parent.parent / "docs"
PAGE = (PAGE_FOLDER / "platform.md").read_text()


def block(language: str, about: str) -> str:
    """Return the page's code block that contains a text."""
    (found,) = [code for code in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if about in code]
    return str(found)


def hosts_sql() -> str:
    """The page's INSERT, without the schema, which SQLite does not have."""
    return block("sql", "INSERT INTO meetergo_inbox.platform_users").replace("meetergo_inbox.", "")


def test_the_hook_of_the_page_updates_the_platforms_table(
    open_harness: Callable[..., Harness], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "myplatform").mkdir()
    (tmp_path / "myplatform" / "bookings.py").write_text(block("python", "myplatform/bookings.py"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "myplatform.bookings", raising=False)
    harness = open_harness(platform_hook="myplatform.bookings:changed")
    with harness.services.database.transaction() as session:
        kind = "TIMESTAMPTZ" if harness.services.database.supports_skip_locked else "TIMESTAMP"
        session.execute(text(f"CREATE TABLE lawyers (id BIGINT, next_meeting {kind})"))
        session.execute(text("INSERT INTO lawyers (id) VALUES (4711)"))
        session.execute(sql(session, hosts_sql().replace("the-hosts-meetergo-id", samples.HOST_ID)))
    try:
        harness.process(samples.created("b1", START, AT))
        with harness.services.database.read_only() as session:
            assert session.scalar(text("SELECT count(*) FROM lawyers WHERE next_meeting IS NOT NULL")) == 1
        assert harness.booking().platform_user_id is not None
        assert harness.all(type(harness.booking()))
    finally:
        with harness.services.database.transaction() as session:
            session.execute(text("DROP TABLE lawyers"))


def test_the_hook_of_the_page_is_ten_lines() -> None:
    code = [
        line for line in block("python", "myplatform/bookings.py").splitlines() if line and not line.startswith("#")
    ]
    assert len(code) <= 10


def test_the_hosts_of_the_example_are_notified_in_a_first_run(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness()
    for entry in filter(None, (line.entry for line in read_host_file(PAGE_FOLDER.parent / "examples" / "hosts.csv"))):
        channels = {"channels": entry.channels} if entry.channels else {}
        harness.add_user(external_id=entry.external_id, meetergo_user_id=entry.external_id, name="", **channels)
        hosts = {"hosts": [], "hostIds": [entry.external_id]}
        harness.process(samples.created(f"b{entry.external_id}", START, AT, **hosts))
    harness.send_all()
    assert {row.status for row in harness.all(Notification)} == {"done"}
    assert {row.platform_user_id for row in harness.all(Booking)} == {1, 2}
