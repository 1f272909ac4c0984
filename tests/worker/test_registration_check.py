"""meetergo is asked whether it still posts to our address and accepts our key, and never waited for too long."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

import pytest

from meetergo.api import Credential
from meetergo.api.errors import Unavailable
from models.account import DEFAULT
from models.endpoint import Endpoint
from runtime.signed_address import AddressSigner, fingerprint_in
from tests.console.cli import ON_SQLITE
from tests.worker.provider import Provider
from worker import scheduler
from worker.maintenance import registration_check
from worker.maintenance.external_checks import external_checks
from worker.maintenance.observation import ABSENT, Observation, Observations
from worker.maintenance.registration_check import SETTLING, observe_registration
from worker.settings import ScheduleSettings

pytestmark = ON_SQLITE
NOW = datetime.now(UTC)
EVENTS = ["booking_created", "booking_cancelled"]
OURS = "https://inbox.example.com" + AddressSigner(["k" * 32]).path("default")
INTACT: Observations = {"api_key_refused": ABSENT, "registration_lost": ABSENT}


@pytest.fixture
def settings(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> ScheduleSettings:
    for name, value in provider.environment(PUBLIC_URL="https://inbox.example.com").items():
        monkeypatch.setenv(name, value)
    return ScheduleSettings.load()


@pytest.fixture
def webhook_id(provider: Provider) -> str:
    """The id of a webhook that was registered, here and at meetergo."""
    with provider.client(provider.meetergo.token) as client:
        registered = client.webhooks.create(OURS, EVENTS)
    with provider.harness.services.database.transaction() as session:
        Endpoint.save(session, fingerprint_in(OURS) or "", registered.id, EVENTS, NOW - SETTLING, DEFAULT)
    return registered.id


def lost(**details: Any) -> Observations:
    return {"api_key_refused": ABSENT, "registration_lost": Observation(True, details)}


def test_an_intact_registration_is_no_incident(provider: Provider, settings: ScheduleSettings, webhook_id: str) -> None:
    assert observe_registration(settings, provider.harness.services, NOW, DEFAULT) == INTACT


def test_without_a_registration_of_ours_none_is_lost(provider: Provider, settings: ScheduleSettings) -> None:
    assert observe_registration(settings, provider.harness.services, NOW, DEFAULT) == INTACT


def test_a_registration_that_was_removed_at_meetergo_is_lost(
    provider: Provider, settings: ScheduleSettings, webhook_id: str
) -> None:
    with provider.client(provider.meetergo.token) as client:
        client.webhooks.delete(webhook_id)
    assert observe_registration(settings, provider.harness.services, NOW, DEFAULT) == lost(reason="gone")
    just_now = NOW - timedelta(seconds=1)  # meetergo may not list yet what was just registered
    assert observe_registration(settings, provider.harness.services, just_now, DEFAULT) == {"api_key_refused": ABSENT}


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("https://other.example.com/webhooks/meetergo/x", "other.example.com"),
        (OURS.replace("inbox.", "former."), "former.example.com"),
        ("https://inbox.example.com" + AddressSigner(["l" * 32]).path("default"), "inbox.example.com"),
    ],
)
def test_a_registration_that_points_elsewhere_is_lost(
    provider: Provider, settings: ScheduleSettings, webhook_id: str, endpoint: str, host: str
) -> None:
    with provider.client(provider.meetergo.token) as client:
        client.webhooks.update(webhook_id, endpoint=endpoint)
    assert observe_registration(settings, provider.harness.services, NOW, DEFAULT) == lost(
        reason="elsewhere", host=host
    )


def test_a_registration_that_lacks_an_event_is_lost(
    provider: Provider, settings: ScheduleSettings, webhook_id: str
) -> None:
    with provider.client(provider.meetergo.token) as client:
        client.webhooks.update(webhook_id, event_types=["booking_created"])
    expected = lost(reason="events", events=["booking_cancelled"])
    assert observe_registration(settings, provider.harness.services, NOW, DEFAULT) == expected


def test_one_intact_registration_is_enough(provider: Provider, settings: ScheduleSettings, webhook_id: str) -> None:
    with provider.harness.services.database.transaction() as session:
        Endpoint.save(session, "0" * 12, "4711", EVENTS, NOW - timedelta(days=1), DEFAULT)
    assert observe_registration(settings, provider.harness.services, NOW, DEFAULT) == INTACT


def test_a_key_that_has_expired_or_is_unknown_is_refused(provider: Provider, settings: ScheduleSettings) -> None:
    unknown = Credential.read("ak_live:00000000-0000-4000-8000-000000000000:none").secret.get_secret_value()
    strange = settings.model_copy(update={"meetergo_api_key": unknown})
    refused = {"api_key_refused": Observation(True, {"reason": "unknown"})}
    assert observe_registration(strange, provider.harness.services, NOW, DEFAULT) == refused
    provider.meetergo.expire(provider.meetergo.key)
    expired = {"api_key_refused": Observation(True, {"reason": "expired"})}
    assert observe_registration(settings, provider.harness.services, NOW, DEFAULT) == expired


def test_what_is_not_asked_any_more_is_over(settings: ScheduleSettings) -> None:
    observed: Observations = {"api_key_refused": Observation(True, {"reason": "expired"})}
    assert list(external_checks(settings, observed)) == ["registration", "expiry"]
    assert {every for every, _ in external_checks(settings, observed).values()} == {timedelta(minutes=10)}
    assert observed == {"api_key_refused": Observation(True, {"reason": "expired"}), "api_key_expiring": ABSENT}
    bare = settings.model_copy(update={"meetergo_api_key": "", "public_url": "http://127.0.0.1:8000"})
    assert external_checks(bare, observed) == {}
    assert set(observed) == {"api_key_refused", "registration_lost", "api_key_expiring", "certificate_expiring"}
    assert all(each == ABSENT for each in observed.values())


@contextmanager
def silent_server() -> Iterator[str]:
    """Yield the address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_meetergo_that_hangs_changes_nothing_and_delays_no_other_task(
    provider: Provider, settings: ScheduleSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration_check, "TIMEOUT", timedelta(seconds=0.2))
    monkeypatch.setattr(registration_check, "ATTEMPTS", 1)
    observed: Observations = {"registration_lost": Observation(True, {"reason": "gone"})}
    stop, asked, swept = Event(), Event(), Event()
    with silent_server() as url:
        hanging = settings.model_copy(update={"meetergo_api_url": url})
        with pytest.raises(Unavailable):
            observe_registration(hanging, provider.harness.services, NOW, DEFAULT)
        monkeypatch.setattr(registration_check, "TIMEOUT", timedelta(minutes=10))
        every, ask = external_checks(hanging, observed)["registration"]
        tasks: scheduler.Schedule = {
            "registration": (every, lambda services, now: (asked.set(), ask(services, now))),
            "sweep": (timedelta(seconds=0.01), lambda _services, _now: asked.is_set() and swept.set()),
        }
        monkeypatch.setattr(scheduler, "SHUTDOWN_TIMEOUT", timedelta(0))
        thread = Thread(target=scheduler.run, args=(tasks, provider.harness.services, stop))
        thread.start()
        assert swept.wait(60)
        stop.set()
        thread.join(60)
        assert not thread.is_alive()
    assert observed["registration_lost"] == Observation(True, {"reason": "gone"})
    assert "api_key_refused" not in observed
