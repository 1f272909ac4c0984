"""`bookings refresh`: meetergo is read, the worker corrects the row, and both are shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event, Thread
from uuid import uuid4

import pytest
from redis import Redis
from rq import Worker
from rq.serializers import JSONSerializer

from devtools.sandbox.faults.injector import InjectedAnswer
from runtime.queue import QUEUES, JobQueue
from tests.console.cli import ON_SQLITE, run_cli, run_cli_json
from tests.snapshot import snapshot_rows
from tests.worker.provider import ONE, Provider, webhook


@pytest.fixture
def request_count(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Provider:
    monkeypatch.setenv("MEETERGO_API_KEY", provider.meetergo.key)
    monkeypatch.setenv("MEETERGO_API_URL", provider.meetergo.url)
    return provider


@contextmanager
def working(provider: Provider, redis: Redis) -> Iterator[None]:
    """A registered worker that processes what arrives."""
    worker = Worker([JobQueue(redis).queue(name) for name in QUEUES], connection=redis, serializer=JSONSerializer)
    worker.register_birth()
    stop = Event()

    def work() -> None:
        while not stop.wait(0.05):
            provider.harness.process_due()

    thread = Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()
    worker.register_death()


def booked(provider: Provider, number: int = 1) -> str:
    booking_id = provider.book(provider.add_host(number), number)
    provider.deliver_all()
    return booking_id


def forge(provider: Provider, booking_id: str, **changes: object) -> None:
    record = provider.meetergo.appointments[booking_id]
    now = datetime.now(UTC).isoformat()
    provider.harness.process(webhook(provider.meetergo, record, **{"updatedAt": now, **changes}))


def test_a_forged_time_is_corrected_and_shown(request_count: Provider, redis: Redis) -> None:
    booking_id = booked(request_count)
    before = request_count.harness.booking(booking_id)
    forge(request_count, booking_id, webhookType="booking_rescheduled", start="2030-01-01T09:00:00Z")
    with working(request_count, redis):
        done = run_cli("bookings", "refresh", booking_id[:8])
    assert done.exit_code == 0, done.output
    assert request_count.harness.booking(booking_id).starts_at == before.starts_at
    assert f"booking {booking_id}: changed" in done.stdout
    assert "2030-01-01 09:00:00 -> " in done.stdout


def test_it_overrides_a_version_from_the_future(request_count: Provider, redis: Redis) -> None:
    booking_id = booked(request_count)
    forge(request_count, booking_id, webhookType="booking_rescheduled", updatedAt="2099-01-01T00:00:00Z")
    request_count.meetergo.actions.cancel(booking_id)
    with working(request_count, redis):
        assert run_cli("bookings", "refresh", booking_id).exit_code == 0
    assert request_count.harness.booking(booking_id).status == "cancelled"


def test_a_cancel_without_a_webhook_is_found(request_count: Provider, redis: Redis) -> None:
    first, second = booked(request_count, 1), booked(request_count, 2)
    request_count.meetergo.actions.cancel(first)
    with working(request_count, redis):
        done = run_cli("bookings", "refresh", first, second, first)
    assert done.exit_code == 0, done.output
    assert request_count.harness.booking(first).status == "cancelled"
    assert f"booking {second}: as meetergo says, nothing differs" in done.stdout
    assert done.stdout.count("booking ") == 2


def test_an_unknown_booking_is_fetched(request_count: Provider, redis: Redis) -> None:
    booking_id = request_count.book(request_count.add_host())
    with working(request_count, redis):
        assert run_cli("bookings", "refresh", booking_id).exit_code == 0
    assert request_count.harness.booking(booking_id).status == "confirmed"


@ON_SQLITE
def test_a_dry_run_shows_the_change_and_writes_nothing(request_count: Provider) -> None:
    booking_id = booked(request_count)
    request_count.meetergo.actions.cancel(booking_id)
    before = snapshot_rows(request_count.harness.services.database)
    done = run_cli("bookings", "refresh", booking_id, "--dry-run")
    assert done.exit_code == 0, done.output
    assert f"booking {booking_id}: would change" in done.stdout
    assert "confirmed -> cancelled" in done.stdout
    [found] = run_cli_json("bookings", "refresh", booking_id, "--dry-run")["bookings"]
    assert (found["booking_id"], found["problem"]) == (booking_id, None)
    assert found["changes"]["status"] == {"before": "confirmed", "after": "cancelled"}
    assert snapshot_rows(request_count.harness.services.database) == before


@ON_SQLITE
def test_without_a_worker_it_says_so(request_count: Provider) -> None:
    booking_id = booked(request_count)
    request_count.meetergo.actions.cancel(booking_id)
    done = run_cli("bookings", "refresh", booking_id)
    assert (done.exit_code, "no worker has processed it yet" in done.stdout) == (1, True)
    request_count.harness.process_due()
    assert request_count.harness.booking(booking_id).status == "cancelled"


@ON_SQLITE
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (InjectedAnswer(404, b'{"statusCode":404,"message":"Not found"}'), "meetergo does not know this booking"),
        (InjectedAnswer(403, b'{"statusCode":403,"message":"Forbidden"}'), "cannot be read from meetergo"),
        (InjectedAnswer(200, b"not json"), "cannot be read from meetergo"),
    ],
)
def test_a_booking_that_cannot_be_read_gives_a_message_and_the_others_continue(
    request_count: Provider, redis: Redis, answer: InjectedAnswer, sentence: str
) -> None:
    first, second = booked(request_count, 1), booked(request_count, 2)
    request_count.meetergo.actions.cancel(second)
    for _ in range(2):
        request_count.meetergo.inject_faults(ONE, answer)
    with working(request_count, redis):
        done = run_cli("bookings", "refresh", first, second)
    assert done.exit_code == 1
    assert sentence in done.stdout
    assert "Traceback" not in done.output


@ON_SQLITE
def test_a_rejected_or_missing_key_gives_an_error_message(
    request_count: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking_id = booked(request_count)
    request_count.meetergo.expire(request_count.meetergo.key)
    refused = run_cli("bookings", "refresh", booking_id)
    assert (refused.exit_code, "make a new key" in refused.stderr) == (1, True)
    monkeypatch.setenv("MEETERGO_API_KEY", "")
    missing = run_cli("bookings", "refresh", booking_id)
    assert (missing.exit_code, "MEETERGO_API_KEY is not set" in missing.stderr) == (2, True)


@ON_SQLITE
def test_an_invalid_id_gives_an_error_message(request_count: Provider) -> None:
    done = run_cli("bookings", "refresh", "nothing-of-that-name")
    assert (done.exit_code, "there is no booking whose id is" in done.stderr) == (1, True)
    unknown = run_cli("bookings", "refresh", str(uuid4()))
    assert (unknown.exit_code, "meetergo does not know this booking" in unknown.stdout) == (1, True)
