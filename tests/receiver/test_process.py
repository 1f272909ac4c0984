"""How the process starts, ends, and what it prints."""

from pathlib import Path

import pytest

from runtime.signed_address import WEBHOOK_PATH
from tests.forked_run import run_forked
from tests.payloads import payload
from tests.process_environment import environment_names
from tests.receiver.conftest import ADDRESS, KEY, OLD_KEY
from tests.receiver.process import TIMEOUT_SECONDS, environment, read_all, receiver_process, request
from tests.waiting import wait_until

BODY = payload("booking_created")
TOKEN = ADDRESS.rpartition("/")[2]
SECRET = "c2lnbmluZyBzZWNyZXQ="
STORES = {"REDIS_URL": "redis://127.0.0.1:1/0"}


def test_a_receiver_that_is_asked_to_stop_finishes_what_it_has_begun(tmp_path: Path, redis_url: str) -> None:
    with receiver_process(tmp_path, redis_url) as process, process.connect() as connection:
        connection.sendall(request(f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100")  # it is reading
        process.popen.terminate()
        connection.sendall(BODY)
        assert b'"status":"accepted"' in read_all(connection)
        assert process.popen.wait(TIMEOUT_SECONDS) == 0
        assert process.stored() == [BODY]


def test_a_receiver_that_is_asked_to_stop_does_not_wait_for_ever(tmp_path: Path, redis_url: str) -> None:
    with receiver_process(tmp_path, redis_url) as process, process.connect() as connection:
        connection.sendall(request(f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        assert process.stop() == 0
        assert process.stored() == []


def test_when_the_main_process_is_killed_no_server_process_goes_on_listening(tmp_path: Path, redis_url: str) -> None:
    with receiver_process(tmp_path, redis_url, WEB_PROCESSES="2") as process, process.connect() as connection:
        connection.sendall(request(f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100")  # a body that is under way does not keep it alive
        children = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children").read_text().split()
        family = [Path(f"/proc/{pid}") for pid in children]
        assert len(family) == 2
        process.popen.kill()
        process.popen.wait(TIMEOUT_SECONDS)
        wait_until(lambda: not [pid for pid in family if pid.exists() and " Z " not in (pid / "stat").read_text()])
        with pytest.raises(ConnectionRefusedError):
            process.connect()


def test_neither_the_receiver_nor_its_server_processes_hold_the_key_of_the_api(tmp_path: Path, redis_url: str) -> None:
    with receiver_process(tmp_path, redis_url, MEETERGO_API_KEY="ak_live:not-for-the-receiver") as process:
        environments_seen = environment_names(process.popen.pid)
    assert len(environments_seen) > 1
    assert all("WEBHOOK_KEYS" in names and "MEETERGO_API_KEY" not in names for names in environments_seen)


def test_secrets_without_a_scheme_are_reported_since_no_signature_is_verified(tmp_path: Path, redis_url: str) -> None:
    with receiver_process(tmp_path, redis_url, WEBHOOK_SIGNATURE_SECRETS=SECRET) as process:
        assert '"signatures.unverified"' in process.printed()
        assert "WEBHOOK_SIGNATURE_SCHEME" in process.printed()
        assert SECRET not in process.printed()


def test_whatever_is_asked_of_it_a_receiver_prints_no_secret_and_no_person(tmp_path: Path, redis_url: str) -> None:
    signature = {"WEBHOOK_SIGNATURE_SCHEME": "standard", "WEBHOOK_SIGNATURE_SECRETS": SECRET}
    with receiver_process(tmp_path, redis_url) as open_one:
        for path in (ADDRESS, f"/{ADDRESS}", f"{ADDRESS}/x", f"{ADDRESS}?{TOKEN}", f"{WEBHOOK_PATH}/x{TOKEN}"):
            open_one.send_raw(request(f"Content-Length: {len(BODY)}", path=path), BODY)
            open_one.send_raw(request("Content-Length: 5000", path=path), BODY, half_close=True)
            open_one.send_raw(request(path=path, method="GET"))
            open_one.send_raw(request(path=path, method="G\x00T"), half_close=True)
            open_one.send_raw(request("Transfer-Encoding: chunked", path=path), b"zz", BODY, half_close=True)
        (tmp_path / "inbox.db").unlink()
        (tmp_path / "inbox.db").mkdir()
        open_one.send_raw(request(f"Content-Length: {len(BODY)}"), BODY)
        assert open_one.stop() == 0
    (tmp_path / "signed").mkdir()
    with receiver_process(tmp_path / "signed", redis_url, **signature) as signed_one:
        signed_one.send_raw(request(f"Content-Length: {len(BODY)}", f"webhook-signature: v1,{TOKEN}"), BODY)
        assert signed_one.stop() == 0
    printed = open_one.printed() + signed_one.printed()
    markers = (TOKEN, TOKEN.partition(".")[2], KEY, OLD_KEY, SECRET, "example.com", "Jane", "secret-token", "zoom.us")
    assert not [marker for marker in markers if marker in printed]
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({**STORES}, "WEBHOOK_KEYS"),
        ({**STORES, "WEBHOOK_KEYS": "too-short-a-key"}, "WEBHOOK_KEYS"),
        ({"WEBHOOK_KEYS": KEY}, "REDIS_URL"),
        ({**STORES, "WEBHOOK_KEYS": KEY, "WEBHOOK_SIGNATURE_SCHEME": "hex"}, "WEBHOOK_SIGNATURE_SECRETS"),
    ],
)
def test_a_bad_setting_stops_it_with_one_message(tmp_path: Path, settings: dict[str, str], name: str) -> None:
    ended = run_forked(tmp_path, environment(**settings), "receiver")
    assert ended.returncode == 2
    [sentence] = ended.stdout.splitlines()
    assert sentence.startswith(name)
    assert sentence.endswith(".")
    assert not [value for value in settings.values() if value in sentence and value != "hex"]
