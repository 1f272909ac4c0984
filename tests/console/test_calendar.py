"""`calendar link|revoke`: a host's link, and its end."""

import json

from click.testing import Result

from models.intervention import Intervention
from models.platform_user import PlatformUser
from operations.users.calendar import CalendarSigner
from tests.console.cli import ON_SQLITE
from tests.console.conftest import OLD_KEY, PUBLIC_URL, Operator


def shared(operator: Operator, *words: str, **settings: str) -> Result:
    return operator.run("calendar", *words, "--by", "ada", "--reason", "asked by phone", **settings)


def add_host(operator: Operator) -> None:
    with operator.database.transaction() as session:
        session.add(PlatformUser(external_id="4711", name="Anna"))


def feed_id(operator: Operator, url: str, base: str = PUBLIC_URL) -> str | None:
    path = url.strip().removeprefix(base)
    return CalendarSigner([OLD_KEY]).feed_id(path.removeprefix("/calendar/").removesuffix(".ics"))


def test_a_link_is_printed_revoked_and_made_anew(operator: Operator) -> None:
    add_host(operator)

    first = shared(operator, "link", "4711")
    again = shared(operator, "link", "4711", "--json")
    done = shared(operator, "revoke", "4711")
    nothing = shared(operator, "revoke", "4711")
    second = shared(operator, "link", "4711")

    assert first.exit_code == done.exit_code == nothing.exit_code == 0
    assert json.loads(again.stdout) == {"external_id": "4711", "url": first.stdout.strip()}
    assert "Anyone with this link" in first.stderr
    assert done.stdout == "Revoked.\n"
    assert "nothing to revoke" in nothing.stdout
    ids = [feed_id(operator, each.stdout) for each in (first, second)]
    assert None not in ids
    assert len(set(ids)) == 2
    (user,) = operator.users()
    assert user.calendar_feed_id == ids[1]
    with operator.database.read_only() as session:
        acts = session.query(Intervention).order_by(Intervention.id).all()
    assert [(act.kind, act.by) for act in acts] == [
        (kind, "ada") for kind in ("shared", "shared", "unshared", "shared")
    ]
    assert {act.reason for act in acts} == {"calendar of host 4711: asked by phone"}


@ON_SQLITE
def test_the_feeds_may_have_a_url_of_their_own(operator: Operator) -> None:
    add_host(operator)
    done = shared(operator, "link", "4711", CALENDAR_URL="https://calendars.example.com/")
    assert feed_id(operator, done.stdout, "https://calendars.example.com")
    unset = shared(operator, "link", "4711", PUBLIC_URL="")
    assert feed_id(operator, unset.stdout, "http://127.0.0.1:8500")


@ON_SQLITE
def test_an_unknown_host_has_no_calendar(operator: Operator) -> None:
    for command in ("link", "revoke"):
        done = shared(operator, command, "nobody")
        assert done.exit_code == 1
        assert "there is no platform user 'nobody'" in done.stderr
