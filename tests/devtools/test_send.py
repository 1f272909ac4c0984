"""`send` in bulk: real deliveries to a real receiver, counted by response."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import pytest
from click import BadParameter

from devtools.processes import environment, processes, run_release, wait_until_ready
from devtools.redis_server import free_port
from devtools.send import mix
from devtools.send.load import percentile
from devtools.send.plan import RepeatsParam
from models.booking import Booking
from operations.text import short
from runtime.signed_address import WEBHOOK_PATH
from tests.console.cli import run_cli_in
from tests.waiting import wait_until
from tests.worker.harness import Harness

KEYS = "k" * 32
NOW = datetime(2024, 1, 14, 16, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Receiver:
    folder: Path
    settings: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings['PORT']}"

    def stored(self) -> int:
        with closing(sqlite3.connect(self.folder / "inbox.db")) as connection:
            return int(connection.execute("SELECT count(*) FROM deliveries").fetchone()[0])

    def send(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return run_cli_in(self.folder, "send", *words, **self.settings)


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Receiver]:
    folder = tmp_path_factory.mktemp("receiver")
    settings = {
        "DATABASE_URL": f"sqlite:///{folder / 'inbox.db'}",
        "REDIS_URL": redis_url,
        "WEBHOOK_KEYS": KEYS,
        "WEBHOOK_SIGNATURE_SCHEME": "standard",
        "WEBHOOK_SIGNATURE_SECRETS": "b2xk" * 8,
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
    }
    env = environment(settings)
    run_release(env, folder)
    with processes(env, folder, names=["web"]) as logs:
        wait_until_ready(f"http://127.0.0.1:{settings['PORT']}", logs["web"])
        yield Receiver(folder, settings)


def test_a_mix_with_repeats_is_signed_and_each_body_is_stored_once(receiver: Receiver) -> None:
    before = receiver.stored()
    done = receiver.send(
        *("mix", "--count", "60", "--shuffle", "--duplicate", "0.5", "--concurrency", "4", "--seed", "7", "--json")
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["planned"], said["sent"], said["answers"], said["unanswered"]) == (90, 90, {"200": 90}, 0)
    assert said["latency_ms"]["p50"] <= said["latency_ms"]["p95"] <= said["latency_ms"]["p99"]
    assert said["latency_ms"]["p99"] <= said["latency_ms"]["max"]
    assert said["seed"] == 7
    assert receiver.stored() - before == 60


def test_it_prints_counts_by_status_and_latencies(receiver: Receiver) -> None:
    done = receiver.send("booking_created", "--count", "20", "--duplicate", "5")
    assert done.returncode == 0, done.stderr
    first, statuses, latency, seed = done.stdout.splitlines()
    assert first.startswith("sent 25 in ")
    assert statuses.split() == ["200", "25"]
    assert latency.startswith("latency p50 ")
    assert seed.startswith("the same mix and order again: --seed ")
    assert done.stderr == ""


def test_a_count_of_samples_of_one_booking_are_different_deliveries(receiver: Receiver) -> None:
    before = receiver.stored()
    assert receiver.send("booking_rescheduled", "--booking", "b1", "--count", "5").returncode == 0
    assert receiver.stored() - before == 5


def test_a_file_is_sent_n_times_unchanged(receiver: Receiver, tmp_path: Path) -> None:
    before = receiver.stored()
    (tmp_path / "body.json").write_text('{"webhookType":"form_submission"}')
    done = receiver.send("--file", str(tmp_path / "body.json"), "--count", "3", "--json")
    assert json.loads(done.stdout)["answers"] == {"200": 3}
    assert receiver.stored() - before == 1


def test_one_rejection_is_exit_1(receiver: Receiver) -> None:
    done = receiver.send("mix", "--count", "3", "--url", f"{receiver.url}{WEBHOOK_PATH}/wrong", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["answers"] == {"404": 3}


def test_no_connection_is_exit_1_and_counted(receiver: Receiver) -> None:
    done = receiver.send("mix", "--count", "3", "--url", "http://127.0.0.1:1/")
    assert done.returncode == 1
    assert "no answer       3" in done.stdout
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_it_cleanly_and_reports_what_was_sent(receiver: Receiver) -> None:
    before, words = receiver.stored(), ["mix", "--count", "1000", "--rate", "20/s", "--concurrency", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "console", "send", *words],
        cwd=receiver.folder,
        env=environment(receiver.settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: receiver.stored() > before + 2)
    os.kill(process.pid, signal.SIGINT)
    printed, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (130, "")
    sent = int(printed.split()[1])
    assert printed.startswith(f"sent {sent} of 1000 in ")
    assert receiver.stored() - before == sent


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["mix", "--booking", "b1"], "--booking needs a single EVENT"),
        (["--count", "3"], "name either an EVENT or a --file"),
        (["mix", "--rate", "fast"], "is not a rate"),
        (["mix", "--duplicate", "some"], "ten repeats"),
        (["mix", "--count", "0"], "--count"),
    ],
)
def test_contradictory_options_give_an_error_message(receiver: Receiver, words: list[str], sentence: str) -> None:
    done = receiver.send(*words)
    assert done.returncode == 2
    assert sentence in done.stderr


@contextmanager
def counting_server() -> Iterator[tuple[str, list[int]]]:
    """A server that counts its connections and responds with 200."""
    lines: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            lines.append(1)
            super().setup()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", lines
        server.shutdown()


def test_many_deliveries_share_a_few_connections(receiver: Receiver) -> None:
    with counting_server() as (url, lines):
        done = receiver.send("mix", "--count", "40", "--concurrency", "3", "--url", url)
    assert done.returncode == 0, done.stdout
    assert 1 <= len(lines) <= 3


def test_a_mix_in_any_order_makes_the_same_bookings(harness: Harness) -> None:
    for run, shuffled in (("straight", False), ("shuffled", True)):
        bodies = mix.repeated(mix.mix(run, 60, NOW, Random(5)), 0.3, Random(6))
        if shuffled:
            Random(7).shuffle(bodies)
        harness.deliver(*bodies)
        harness.process_due()
    made: dict[str, dict[int, object]] = {"straight": {}, "shuffled": {}}
    named = {mix.booking_id(run, number): (run, number) for run in made for number in range(60)}
    for booking in harness.all(Booking):
        run, number = named[booking.id]
        made[run][number] = {**booking.public_columns(), "as_of": None}
    assert made["straight"] == made["shuffled"]
    assert {seen["status"] for seen in made["straight"].values()} == {"confirmed", "cancelled"}  # type: ignore[index]


def test_bookings_of_a_mix_differ_in_their_shortened_ids() -> None:
    assert len({short(mix.booking_id("run", number)) for number in range(200)}) == 200


def test_the_same_seed_makes_the_same_mix() -> None:
    one, other, another = (mix.mix("run", 50, NOW, Random(seed)) for seed in (1, 1, 2))
    assert len(one) == 50
    assert one == other != another


@pytest.mark.parametrize(("typed", "count"), [("3", 13), ("0.5", 15), ("1.0", 20), ("25", 35), ("0", 10), (".1", 11)])
def test_repeats_are_a_number_or_a_share(typed: str, count: int) -> None:
    bodies = [str(number).encode() for number in range(10)]
    repeated = mix.repeated(bodies, RepeatsParam().convert(typed, None, None), Random(1))
    assert len(repeated) == count
    assert set(repeated) == set(bodies)
    assert repeated == sorted(repeated)


@pytest.mark.parametrize("typed", ["-1", "half", "0.00001", "1e3", ""])
def test_anything_else_is_not_a_number_of_repeats(typed: str) -> None:
    with pytest.raises(BadParameter):
        RepeatsParam().convert(typed, None, None)


def test_a_percentile_is_a_measured_value() -> None:
    ranked = [float(number) for number in range(1, 101)]
    assert [percentile(ranked, percent) for percent in (50, 95, 99)] == [50, 95, 99]
    assert [percentile([4.0], percent) for percent in (50, 95, 99)] == [4, 4, 4]


def test_nobody_at_another_address_is_named_without_its_path(receiver: Receiver) -> None:
    done = receiver.send("booking_created", "--url", "http://127.0.0.1:1/webhooks/meetergo/its-token")
    assert done.returncode == 1
    assert "nobody answers at http://127.0.0.1:1: " in done.stderr
    assert receiver.send("booking_created", "--url", "127.0.0.1:1").returncode == 2
