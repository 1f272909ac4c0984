"""When something breaks that should not, the answer is JSON and the log holds no address."""

from typing import Any, NoReturn

import pytest
from flask import Flask
from structlog.testing import capture_logs

from receiver.auth import AuthenticatedRequest
from tests.payloads import payload
from tests.receiver.conftest import ADDRESS, MakeApp

BODY = payload("booking_created")
TOKEN = ADDRESS.rpartition("/")[2]


def accept(admitted: AuthenticatedRequest, now: Any) -> NoReturn:
    """Raises what quotes everything that must not be told."""
    raise RuntimeError(f"{ADDRESS} {admitted.body!r}")


@pytest.mark.parametrize("path", [ADDRESS, f"/{ADDRESS}"])
def test_a_failure_is_logged_with_its_place_but_without_address_or_body(
    app: Flask,
    path: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app.extensions["door"], "accept", accept)
    with capture_logs() as entries:
        answer = app.test_client().post("/", data=BODY, environ_overrides={"PATH_INFO": path, "QUERY_STRING": TOKEN})
    said = f"{entries} {caplog.text} {capfd.readouterr()} {answer.text}"
    assert TOKEN not in said
    assert "example.com" not in said
    if path.startswith("//"):
        assert answer.status_code == 404
    else:
        assert (answer.status_code, answer.json) == (500, {"status": "refused", "reason": "internal error"})
        assert [(entry["event"], entry["error"]) for entry in entries] == [("request.failed", "RuntimeError")]
        assert "in accept" in entries[0]["traceback"]


def test_a_database_that_is_away_is_logged_without_what_it_was_told(
    make_app: MakeApp, tmp_path: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("Dear Jane, " * 100)
    app = make_app(database_url=f"sqlite:///{tmp_path / 'letter.txt'}")
    with capture_logs() as entries:
        assert app.test_client().post(ADDRESS, data=BODY).status_code == 200
    assert [entry["event"] for entry in entries] == ["database.away", "delivery.carried", "delivery.accepted"]
    said = f"{entries} {caplog.text} {capfd.readouterr()}"
    assert not [word for word in (TOKEN, "example.com", str(tmp_path)) if word in said]


@pytest.mark.parametrize("host", ["a..b", "[", "x" * 300, "exa mple", "\xff", "a:port", ""])
def test_a_hostile_host_header_breaks_nothing(app: Flask, host: str) -> None:
    answer = app.test_client().get("/healthz", environ_overrides={"HTTP_HOST": host})
    assert answer.status_code in (200, 400)
    assert answer.content_type == "application/json"
