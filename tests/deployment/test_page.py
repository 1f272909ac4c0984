"""docs/deployment.md: what it tells to type exists, and each of its sections names a test."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from console.__main__ import cli
from runtime.settings import SETTING_NAMES

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "deployment.md").read_text()
CONSOLES = ("bin/inbox", "sudo meetergo-inbox", "python -m console", "run --rm console")
DOCKER_ONLY = {"RECEIVER_ADDRESS", "SITE", "UPSTREAM", "DESTDIR", "VENV", "COMPOSE_FILE", "VERSION"}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def commands() -> Iterator[str]:
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            assert line.startswith("$ ")
            yield from line[2:].partition("  #")[0].strip().split(" && ")


def test_there_are_commands() -> None:
    assert len(list(commands())) > 25


def test_files_of_the_repository_that_it_names_exist() -> None:
    named = set(re.findall(r"(?<![\w/])(?:deploy|tests|docs)/[\w./-]*\w", PAGE)) - {"deploy/kubernetes/mine"}
    assert len(named) > 10
    # deploy/meetergo-inbox-console is kubectl's name of a Deployment
    assert not [name for name in named if not (ROOT / name).exists() and name != "deploy/meetergo-inbox-console"]


def test_settings_and_variables_that_it_names_exist() -> None:
    named = set(re.findall(r"\b([A-Z][A-Z_]{2,})=", PAGE))
    known = SETTING_NAMES | DOCKER_ONLY | {f"{name}_FILE" for name in SETTING_NAMES}
    assert named <= known


@pytest.mark.parametrize("command", [each for each in commands() if any(name in each for name in CONSOLES)])
def test_a_command_line_of_ours_exists(command: str) -> None:
    words = shlex.split(next(command.partition(name)[2] for name in CONSOLES if name in command).rstrip('"'))
    group: click.Command = cli
    context = click.Context(cli)
    for word in words:
        if not isinstance(group, click.Group) or word.startswith("-"):
            break
        found = group.get_command(context, word)
        assert found, word
        group = found


def test_profiles_and_services_of_compose_exist() -> None:
    profiles = {profile for service in COMPOSE.values() for profile in service.get("profiles", [])}
    assert set(re.findall(r"--profile (\w+)", PAGE)) <= profiles
    assert "console" in COMPOSE


def test_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`(?:sudo )?make ([a-z-]+)", PAGE)) <= targets


def test_each_set_up_names_its_test() -> None:
    for title in ("One machine with systemd", "A proxy in front", "Docker Compose", "Kubernetes", "Fly.io"):
        section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
        assert "tests/deployment/test_" in section, title
