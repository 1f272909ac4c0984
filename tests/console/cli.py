"""Run commands, and check their output for secrets."""

import json
import os
from contextlib import chdir
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from click.testing import CliRunner, Result

from console.__main__ import cli
from runtime.settings import SETTING_NAMES

BROKEN = b'{"webhookType": "booking_created", "secret": "its-own-secret", "id": '
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For tests in whose outcome the database has no part: meetergo decides, Redis, a setting, or code of ours alone."""
SECRETS = ("sample-secret", "its-own-secret", "one-time-token", "a-zoom-password")


def run_cli(*words: str) -> Result:
    """Run a command with the settings of the harness."""
    return CliRunner().invoke(cli, list(words))


def run_cli_in(folder: Path, *words: str, **settings: str | None) -> "CompletedProcess[str]":
    """Run a command in a folder with these settings alone, as its own process would."""
    unset = {name: None for name in os.environ if name in SETTING_NAMES and name != "REDIS_PREFIX"}
    with chdir(folder):
        done = CliRunner(env={**unset, **settings}).invoke(cli, words)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


def run_cli_json(*words: str) -> Any:
    done = run_cli(*words, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)
