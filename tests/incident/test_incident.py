"""A whole incident in a terminal: found, looked at, repaired, replayed; and the bookings are right."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from models.booking import BookingChange
from models.notification import Notification
from tests.incident.incident import DELIVERIES, play

LONGEST_SECONDS = 240

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: the incident needs a terminal"),
]


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def test_two_hundred_dead_deliveries_are_found_looked_at_repaired_and_replayed(tmp_path: Path) -> None:
    scene = play(tmp_path, f"incident-{os.getpid()}", until)
    sent, alarm, listed, counted, shown, dry, replayed, calm, booking = (text for _, text in scene.shown)
    assert "200" in sent
    assert f"{DELIVERIES} deliveries are dead" in alarm
    assert "exit code 1" in alarm
    assert "no column next_meeting" in listed
    assert "no column next_meeting" in shown
    assert f"{DELIVERIES}" in counted
    assert f"{DELIVERIES}" in dry
    assert "done" in dry
    assert "replayed" in replayed
    assert "exit code 0" in calm
    assert "the hook is repaired" in booking
    assert [row.status for row in scene.bookings()] == ["confirmed"] * DELIVERIES
    assert len(scene.rows(BookingChange)) == DELIVERIES
    told = Counter((row.booking_id, row.kind, row.status) for row in scene.rows(Notification))
    assert set(told.values()) == {1}
    assert len(told) == DELIVERIES
    first, last = scene.operators.subjects()[0], scene.operators.subjects()[-1]
    assert "dead" in first
    assert first != last
