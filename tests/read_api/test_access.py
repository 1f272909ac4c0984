"""Who may read: closed by default, with tokens that are stored hashed and can be revoked."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text, update

from console.__main__ import cli
from devtools.redis_server import free_port
from devtools.send import samples
from models.api_token import USE_RESOLUTION, ApiToken
from models.intervention import Intervention
from operations.users.calendar import CalendarSigner, share
from read_api.app import create_app
from read_api.auth import FAILURES, OPEN_ENDPOINTS
from read_api.settings import ReadApiSettings
from read_api.views import DATABASE
from runtime.database import Database
from tests.read_api.conftest import KEY, client_with, create_token
from tests.worker.harness import AT, Harness

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
BOOKINGS, CALENDAR = "/api/v1/bookings", "calendar.calendar"


Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DATABASE_URL", database_url)
    return lambda *words: CliRunner().invoke(cli, ["api-tokens", *words])


def tokens(database: Database) -> list[ApiToken]:
    with database.read_only() as session:
        return list(session.scalars(select(ApiToken).order_by(ApiToken.id)))


def test_a_calendar_needs_its_signed_token_and_no_other(app: Flask, database: Database, harness: Harness) -> None:
    harness.add_user(external_id="4711", meetergo_user_id=samples.HOST_ID)
    path = CalendarSigner([KEY]).path(share(database, "4711", AT, by="Ada", reason="asked"))
    response = client_with(app, None).get(path)
    assert (response.status_code, response.content_type) == (200, "text/calendar; charset=utf-8")
    assert response.headers["Cache-Control"] == "private, no-cache"


def test_what_calendar_programs_try_is_no_failed_login(app: Flask) -> None:
    program = client_with(app, None)
    for _ in range(FAILURES.amount + 1):
        assert program.open("/calendar/forged.ics", method="PROPFIND").status_code == 405
        assert program.get("/calendar/").status_code == 404
    assert program.get(BOOKINGS).status_code == 401


def test_every_route_needs_a_token_unless_it_is_open(app: Flask) -> None:
    with app.test_request_context():
        rules = [(rule.endpoint, str(rule).replace("<path:booking_id>", "b1")) for rule in app.url_map.iter_rules()]
    assert {endpoint for endpoint, _ in rules} > OPEN_ENDPOINTS
    for endpoint, path in rules:
        response = client_with(app, None).get(path)
        expected = 404 if endpoint == CALENDAR else 200 if endpoint in OPEN_ENDPOINTS else 401
        assert response.status_code == expected, path
        assert response.headers["Cache-Control"] == "no-store"
    assert client_with(app, None).get("/nowhere").status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic Zm9vOmJhcg==", "Bearer mgi_" + "a" * 43, "é"])
def test_without_a_valid_token_nothing_is_shown(app: Flask, header: str) -> None:
    response = app.test_client().get(BOOKINGS, headers={"Authorization": header})
    assert response.status_code == 401
    assert response.content_type == "application/problem+json"
    assert response.headers["WWW-Authenticate"].lower().startswith("bearer")
    assert response.get_json()["status"] == 401


def test_a_role_that_may_not_read_is_refused(app: Flask, database: Database) -> None:
    response = client_with(app, create_token(database, role="later")).get(BOOKINGS)
    assert (response.status_code, response.content_type) == (403, "application/problem+json")


def test_a_token_is_stored_hashed_shown_once_and_revocable(app: Flask, database: Database, run: Run) -> None:
    created = run("create", "--name", "shop", "--by", "Ada")
    token = created.stdout.strip()
    assert created.exit_code == 0
    assert len(token) == len("mgi_") + 43
    listed = run("list", "--json")
    assert "shop" in listed.output
    assert token not in listed.output
    (row,) = tokens(database)
    assert token not in str(vars(row))
    client = client_with(app, token)
    assert client.get(BOOKINGS).status_code == 200
    assert run("revoke", "--name", "shop", "--by", "Eve").exit_code == 0
    assert client.get(BOOKINGS).status_code == 401
    with database.read_only() as session:
        acts = session.scalars(select(Intervention).order_by(Intervention.id)).all()
    assert [(act.kind, act.by) for act in acts] == [("granted", "Ada"), ("revoked", "Eve")]
    assert all(token not in act.reason for act in acts)


def test_two_valid_tokens_have_two_names(database: Database, run: Run) -> None:
    create_token(database, "shop")
    for words in (("create", "--name", "shop"), ("create", "--name", " "), ("revoke", "--name", "other")):
        assert run(*words).exit_code == 1
    assert run("revoke", "--name", "shop").exit_code == 0
    assert run("create", "--name", "shop").exit_code == 0
    assert [bool(row.revoked_at) for row in tokens(database)] == [True, False]


def test_the_last_use_is_recorded_once_an_hour(client: FlaskClient, database: Database) -> None:
    client.get(BOOKINGS)
    (first,) = tokens(database)
    assert first.last_used_at
    client.get(BOOKINGS)
    assert tokens(database)[0].last_used_at == first.last_used_at
    with database.transaction() as session:
        session.execute(update(ApiToken).values(last_used_at=datetime.now(UTC) - USE_RESOLUTION - timedelta(minutes=1)))
    client.get(BOOKINGS)
    assert (tokens(database)[0].last_used_at or first.last_used_at) >= first.last_used_at


def test_guessing_is_limited_and_holds_up_no_one_else_at_this_address(
    app: Flask, client: FlaskClient, database: Database
) -> None:
    assert client.get(BOOKINGS).status_code == 200
    stranger = client_with(app, "mgi_" + "a" * 43)
    statuses = [stranger.get(BOOKINGS).status_code for _ in range(FAILURES.amount + 1)]
    assert statuses == [401] * FAILURES.amount + [429]
    assert stranger.get(BOOKINGS).headers["Retry-After"] == "60"
    assert client_with(app, create_token(database, "new")).get(BOOKINGS).status_code == 429
    assert client.get(BOOKINGS).status_code == 200


def test_a_stranger_behind_the_same_proxy_keeps_no_consumer_out_after_a_restart(app: Flask, token: str) -> None:
    stranger = client_with(app, "mgi_" + "a" * 43)
    while stranger.get(BOOKINGS).status_code != 429:
        pass
    assert client_with(app, token).get(BOOKINGS).status_code == 200  # this process has not seen it before
    assert stranger.get(BOOKINGS).status_code == 429


def test_a_stranger_beyond_the_limit_does_not_make_a_broken_database_work(
    app: Flask, token: str, database: Database
) -> None:
    stranger = client_with(app, "mgi_" + "a" * 43)
    for _ in range(FAILURES.amount):
        assert stranger.get(BOOKINGS).status_code == 401
    with database.transaction() as session:
        session.execute(text("ALTER TABLE api_tokens RENAME TO broken"))
    assert [stranger.get(BOOKINGS).status_code for _ in range(3)] == [503, 429, 429]


def test_while_the_database_does_not_answer_a_client_is_told_to_try_later(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/nothing")
    monkeypatch.setenv("WEBHOOK_KEYS", KEY)
    app = create_app(ReadApiSettings())
    response = client_with(app, token).get(BOOKINGS)
    app.extensions[DATABASE].close()
    assert (response.status_code, response.content_type) == (503, "application/problem+json")
    assert int(response.headers["Retry-After"]) > 0


def test_tokens_are_listed_with_their_use_and_not_themselves(run: Run, client: FlaskClient, token: str) -> None:
    client.get(BOOKINGS)
    run("create", "--name", "unused", "--by", "Bruno")
    run("revoke", "--name", "unused", "--by", "Bruno")
    listed = {line.split()[0]: line for line in run("list").stdout.splitlines() if line.strip()}
    assert "never" not in listed["platform"]
    assert "Ada" in listed["platform"]
    assert "never" in listed["unused"]
    assert not [line for line in listed.values() if token in line]
