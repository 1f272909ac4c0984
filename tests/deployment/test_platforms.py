"""app.json, render.yaml and fly.toml run what the Procfile runs, with settings that exist, on URLs as they come."""

import base64
import json
import re
import secrets
import tomllib
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy.engine import make_url

from devtools.processes import commands
from receiver.settings import ReceiverSettings
from runtime.encryption import BodyCipher
from runtime.http.metrics_server import PORT_OFFSETS
from runtime.settings import SETTING_NAMES

ROOT = Path(__file__).parent.parent.parent
HEROKU: dict[str, Any] = json.loads((ROOT / "app.json").read_text())
RENDER: dict[str, Any] = yaml.safe_load((ROOT / "render.yaml").read_text())
FLY: dict[str, Any] = tomllib.loads((ROOT / "fly.toml").read_text())
LONG_RUNNING = {name: command for name, command in commands().items() if name not in ("release", "dashboard", "api")}
"""The dashboard and the read API are optional."""


def test_heroku_runs_the_procfile_with_settings_that_exist() -> None:
    assert set(HEROKU["formation"]) == set(LONG_RUNNING)
    assert set(HEROKU["env"]) <= SETTING_NAMES


def test_render_runs_the_procfile_with_settings_that_exist() -> None:
    processes = [service for service in RENDER["services"] if service["type"] in ("web", "worker")]
    assert [service["dockerCommand"] for service in processes] == list(LONG_RUNNING.values())
    assert processes[0]["preDeployCommand"] == commands()["release"]
    names = {variable["key"] for service in processes for variable in service["envVars"] if "key" in variable}
    (group,) = RENDER["envVarGroups"]
    assert names | {variable["key"] for variable in group["envVars"]} <= SETTING_NAMES
    (redis,) = [service for service in RENDER["services"] if service["type"] == "keyvalue"]
    assert redis["maxmemoryPolicy"] == "noeviction"
    assert redis["plan"] != "free"


def test_fly_runs_the_procfile_and_asks_each_process_for_its_health() -> None:
    assert FLY["processes"] == LONG_RUNNING
    assert FLY["deploy"]["release_command"] == commands()["release"]
    assert set(FLY["env"]) <= SETTING_NAMES
    assert FLY["http_service"]["internal_port"] == int(FLY["env"]["PORT"])
    ports = {name: int(FLY["env"]["METRICS_PORT"]) + offset for name, offset in PORT_OFFSETS.items()}
    assert {check["processes"][0]: check["port"] for check in FLY["checks"].values()} == {
        name: port for name, port in ports.items() if name != "web"
    }
    assert {metrics["processes"][0]: metrics["port"] for metrics in FLY["metrics"]} == ports


def test_what_the_platforms_generate_can_be_used_as_keys() -> None:
    """Heroku's `secret` is 64 hexadecimal digits; Render's value is 256 bits in base64, with + and /."""
    stores = {"redis_url": "rediss://:secret@ec2-1-2-3-4.compute-1.amazonaws.com:12345", "redis_tls_verify": False}
    for key in (secrets.token_hex(32), base64.b64encode(secrets.token_bytes(32)).decode()):
        assert ReceiverSettings(webhook_keys=[key], **stores).webhook_keys == [key]
    key = base64.b64encode(b"\xff\xfe" * 16).decode()
    assert {"+", "/"} < set(key)
    cipher = BodyCipher([key])
    assert cipher.decrypt(cipher.encrypt(b"body")) == b"body"


def test_urls_work_as_they_are_handed_out() -> None:
    for url in (
        "postgres://u1a:p1f@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d8m",
        "postgresql://inbox:secret@dpg-abc-a/inbox_x1",
        "postgres://inbox:secret@meetergo-inbox-db.flycast:5432/inbox?sslmode=disable",
    ):
        settings = ReceiverSettings(database_url=url, redis_url="redis://red-abc:6379", webhook_keys=["k" * 32])
        assert make_url(settings.database_url).drivername == "postgresql+psycopg"
        assert re.search(r"@([^:/]+)", settings.database_url)[1] == re.search(r"@([^:/]+)", url)[1]  # type: ignore[index]
