"""When something breaks that should not, the answer is JSON and the log holds no address."""

from typing import Any, NoReturn

import pytest
from structlog.testing import capture_logs

from receiver.auth import RequestAddress
from tests.payloads import payload
from tests.receiver.conftest import ADDRESS, MakeApp
from tests.receiver.in_process import ReceiverInProcess

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # the log is the same beside either

BODY = payload("booking_created")
TOKEN = ADDRESS.rpartition("/")[2]


async def accept(address: RequestAddress, body: bytes, now: Any) -> NoReturn:
    """Raises what quotes everything that must not be shown."""
    raise RuntimeError(f"{ADDRESS} {body!r}")


@pytest.mark.parametrize("path", [ADDRESS, f"/{ADDRESS}"])
def test_a_failure_is_logged_with_its_place_but_without_address_or_body(
    app: ReceiverInProcess,
    path: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app.app.ingest, "accept", accept)
    with capture_logs() as entries:
        response = app.test_client().post("/", data=BODY, environ_overrides={"PATH_INFO": path, "QUERY_STRING": TOKEN})
    output = f"{entries} {caplog.text} {capfd.readouterr()} {response.text}"
    assert TOKEN not in output
    assert "example.com" not in output
    if path.startswith("//"):
        assert response.status_code == 404
    else:
        assert (response.status_code, response.json) == (500, {"status": "refused", "reason": "internal error"})
        assert [(entry["event"], entry["error"]) for entry in entries] == [("request.failed", "RuntimeError")]
        assert "in accept" in entries[0]["traceback"]


def test_a_database_that_is_down_is_logged_without_its_statements(
    make_app: MakeApp, tmp_path: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "not_a_database.txt").write_text("Dear Jane, " * 100)
    app = make_app(database_url=f"sqlite:///{tmp_path / 'not_a_database.txt'}")
    with capture_logs() as entries:
        assert app.test_client().post(ADDRESS, data=BODY).status_code == 200
    assert [entry["event"] for entry in entries] == ["database.unavailable", "delivery.deferred", "delivery.accepted"]
    output = f"{entries} {caplog.text} {capfd.readouterr()}"
    assert not [word for word in (TOKEN, "example.com", str(tmp_path)) if word in output]


@pytest.mark.parametrize("host", ["a..b", "[", "x" * 300, "exa mple", "\xff", "a:port", ""])
def test_a_hostile_host_header_breaks_nothing(app: ReceiverInProcess, host: str) -> None:
    response = app.test_client().get("/healthz", environ_overrides={"HTTP_HOST": host})
    assert response.status_code in (200, 400)
    assert response.content_type == "application/json"
