"""The deployment files agree with the code. Docker need not be installed."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboard.settings import DashboardSettings
from devtools.processes import commands
from operations.settings import CalendarSettings, ConsoleSettings, RegistrationSettings
from operations.status import StatusSettings
from read_api.settings import ReadApiSettings
from receiver.settings import ReceiverSettings
from runtime.api_settings import ApiSettings
from runtime.version import VERSION
from worker.settings import ScheduleSettings, WorkerSettings

ROOT = Path(__file__).parent.parent
SETTINGS = [
    ReceiverSettings,
    WorkerSettings,
    ScheduleSettings,
    ConsoleSettings,
    RegistrationSettings,
    StatusSettings,
    CalendarSettings,
    DashboardSettings,
    ReadApiSettings,
]
SETTING_ENV_NAMES = {name.upper() for settings in SETTINGS for name in settings.model_fields}
DOCKER_ONLY = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "RECEIVER_ADDRESS", "SITE"}
SETTING_LINE = re.compile(r"^#?([A-Z_]+)=(.*)$", re.MULTILINE)


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return services


def test_the_procfile_names_the_processes() -> None:
    assert list(commands()) == ["release", "web", "worker", "cron", "dashboard", "api"]


def test_the_example_explains_every_setting_and_no_other() -> None:
    settings_in_example = {name for name, _ in SETTING_LINE.findall((ROOT / ".env.example").read_text())}
    assert settings_in_example - DOCKER_ONLY == SETTING_ENV_NAMES


def test_the_defaults_in_the_example_are_those_of_the_code() -> None:
    settings_in_example = dict(SETTING_LINE.findall((ROOT / ".env.example").read_text()))
    fields = {name.upper(): field for settings in SETTINGS for name, field in settings.model_fields.items()}
    for name, text in settings_in_example.items():
        if text and name not in DOCKER_ONLY:
            default = fields[name].default
            assert text == (",".join(default) if isinstance(default, list) else str(default))


def test_the_configuration_page_names_every_setting() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert not [name for name in SETTING_ENV_NAMES if f"`{name}`" not in page]


@pytest.mark.parametrize(
    ("service", "process"),
    [("migrate", "release"), ("worker", "worker"), ("cron", "cron"), ("dashboard", "dashboard"), ("api", "api")],
)
def test_compose_runs_what_the_procfile_runs(service: str, process: str) -> None:
    assert compose()[service]["command"] == commands()[process]


def test_the_image_serves_the_receiver_and_not_as_root() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert 'CMD ["python", "-m", "receiver"]' in dockerfile
    assert re.search(r"^USER 10001$", dockerfile, re.MULTILINE)


def test_the_stores_of_compose_lose_nothing() -> None:
    services = compose()
    assert "--appendonly yes --maxmemory-policy noeviction" in services["redis"]["command"]
    assert services["redis"]["volumes"]
    assert '--requirepass "$$REDIS_PASSWORD"' in services["redis"]["command"]
    own = "redis://:${REDIS_PASSWORD:?set it in .env}@redis:6379/0"
    assert services["worker"]["environment"]["REDIS_URL"] == f"${{REDIS_URL:-{own}}}"
    assert services["postgres"]["volumes"]
    assert all("healthcheck" in services[name] for name in ("redis", "postgres", "receiver", "worker", "cron"))


@pytest.mark.parametrize(
    ("service", "settings"),
    [
        ("receiver", [ReceiverSettings]),
        ("worker", [WorkerSettings, ApiSettings]),
        ("cron", [ScheduleSettings]),
        ("dashboard", [DashboardSettings, ApiSettings]),
        ("api", [ReadApiSettings]),
    ],
)
def test_each_process_gets_only_the_settings_that_it_reads(service: str, settings: list[Any]) -> None:
    given_variables = set(compose()[service]["environment"])
    read = {name.upper() for kind in settings for name in kind.model_fields}
    assert given_variables <= read
    assert read - given_variables <= {"HOST"}


def test_the_worker_gets_the_api_key_and_drops_it_unless_it_verifies_cancels() -> None:
    """See `test_the_key_of_the_api_is_held_only_by_a_crew_that_confirms`."""
    given_variables = compose()["worker"]["environment"]
    assert {given_variables[name.upper()] for name in ApiSettings.model_fields} == {
        f"${{{name.upper()}:-}}" for name in ApiSettings.model_fields
    }


def test_the_displayed_version_is_the_declared_one() -> None:
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert stated == VERSION


def test_dependencies_are_pinned_exactly() -> None:
    for name in ("requirements.txt", "requirements-otel.txt", "requirements-dev.txt"):
        lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.lstrip().startswith("#")]
        assert lines
        assert all(re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[^ ]+( ;.*)?", line) for line in lines)
