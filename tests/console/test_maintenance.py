"""Maintenance commands."""

import os
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import inspect

from devtools.processes import environment, processes, wait_until_ready
from devtools.redis_server import free_port
from models.delivery import Delivery
from models.migrate import migrate as migrate_to
from models.migrations.newer import newest_known
from runtime.database import Database
from runtime.signed_address import AddressSigner
from tests.console.cli import run_cli_in as console
from tests.console.terminal import terminal
from tests.worker.harness import Harness

KEYS = "k" * 32


def test_webhook_url_prints_the_address(tmp_path: Path) -> None:
    done = console(tmp_path, "endpoint", WEBHOOK_KEYS=KEYS, PUBLIC_URL="https://inbox.example/")
    assert done.stdout.strip() == "https://inbox.example" + AddressSigner([KEYS]).path("default")
    assert done.stderr == ""


def test_webhook_url_says_what_an_unreachable_address_needs(tmp_path: Path) -> None:
    assert "PUBLIC_URL" in console(tmp_path, "endpoint", WEBHOOK_KEYS=KEYS).stderr


@pytest.mark.parametrize(
    ("words", "settings", "sentence"),
    [
        (["endpoint"], {}, "WEBHOOK_KEYS is not set"),
        (["endpoint"], {"WEBHOOK_KEYS": "short"}, "at least 32 characters"),
        (["migrate"], {"DATABASE_URL": "mysql://x"}, "DATABASE_URL cannot be used"),
        (["migrate"], {"DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "the database cannot be migrated"),
        (["replay", "x"], {}, "REDIS_URL is not set"),
        (["send"], {"WEBHOOK_KEYS": KEYS}, "name either an EVENT or a --file"),
        (["send", "booking_created"], {"WEBHOOK_KEYS": KEYS, "PORT": "1"}, "nobody answers"),
    ],
)
def test_what_is_wrong_gives_an_error_message(
    tmp_path: Path, words: list[str], settings: dict[str, str], sentence: str
) -> None:
    done = console(tmp_path, *words, **settings)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert "short" not in done.stderr


def test_migrate_makes_the_tables_and_the_folder_of_the_file(tmp_path: Path) -> None:
    assert console(tmp_path, "migrate").returncode == 0
    database = Database(f"sqlite:///{tmp_path / 'data' / 'inbox.db'}")
    assert {"platform_users", "bookings", "booking_changes", "deliveries", "notifications"} <= set(
        inspect(database.engine).get_table_names()
    )
    database.close()


def test_migrate_says_at_a_terminal_what_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def migrate() -> list[str]:
        with terminal("migrate") as run:
            assert run.end() == 0, run.text
        return run.text.splitlines()

    done = "The database is up to date."
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'new.db'}")
    assert migrate() == [f"Created the tables of version {newest_known()}.", done]
    assert migrate() == [done]
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'old.db'}")
    database = Database(os.environ["DATABASE_URL"])
    migrate_to(database.engine, "0016")
    database.close()
    assert migrate() == [f"Migrated the tables from version 0016 to {newest_known()}.", done]


@pytest.mark.parametrize("scheme", ["", "standard"])
def test_send_delivers_a_sample_that_the_receiver_accepts(tmp_path: Path, redis_url: str, scheme: str) -> None:
    settings = {
        "WEBHOOK_KEYS": KEYS,
        "REDIS_URL": redis_url,
        "PORT": str(free_port()),
        "HOST": "127.0.0.1",
        "WEBHOOK_SIGNATURE_SCHEME": scheme,
        "WEBHOOK_SIGNATURE_SECRETS": "b2xk" * 8,
    }
    console(tmp_path, "migrate")
    with processes(environment(settings), tmp_path, names=["web"]) as logs:
        wait_until_ready(f"http://127.0.0.1:{settings['PORT']}", logs["web"])
        done = console(tmp_path, "send", "booking_created", **settings)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("200 ")
    assert "--booking sample-" in done.stdout


def test_replay_makes_a_dead_delivery_pending_and_removes_its_failed_job(
    harness: Harness, tmp_path: Path, redis: Redis
) -> None:
    (delivery_id,) = harness.deliver(b"not json")
    harness.process_due()
    settings = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}
    done = console(tmp_path, "replay", delivery_id[:8], "--yes", **settings)
    assert done.returncode == 0, done.stderr
    assert "1 delivery replayed" in done.stdout
    assert [row.status for row in harness.all(Delivery)] == ["pending"]
    assert harness.services.job_queue.queue("inbox").count == 1
    assert "there is no delivery whose id" in console(tmp_path, "replay", "unknown", **settings).stderr


def test_healthcheck_says_whether_this_machines_worker_is_alive(tmp_path: Path, redis: Redis, redis_url: str) -> None:
    redis.flushall()
    assert console(tmp_path, "alive", "worker", REDIS_URL=redis_url).returncode == 1
    assert console(tmp_path, "alive", "cron", REDIS_URL="redis://127.0.0.1:1").returncode == 1
