"""The keyboard: types commands at the desk, and what must not come back."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from console.__main__ import cli

BROKEN = b'{"webhookType": "booking_created", "secret": "its-own-secret", "id": '
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what starts a process and would be no different on PostgreSQL."""
SECRETS = ("sample-secret", "its-own-secret", "one-time-token", "a-zoom-password")


def run_cli(*words: str) -> Result:
    """Types a command; settings are those of the desk."""
    return CliRunner().invoke(cli, list(words))


def run_cli_json(*words: str) -> Any:
    done = run_cli(*words, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)
