"""The command explains the sandbox and runs it until Ctrl-C."""

import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from urllib3 import PoolManager

from devtools.sandbox.command import command
from devtools.sandbox.server import Sandbox
from devtools.sandbox.state.seed import seed

ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 60


def test_it_prints_the_env_settings_and_runs_until_interrupted(http: PoolManager, tmp_path: Path) -> None:
    state = str(tmp_path / "sandbox.json")
    arguments = [sys.executable, "-u", "-m", "devtools.sandbox", "--port", "0", "--drop", "0.1", "--state", state]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        said = "".join(process.stdout.readline() for _ in range(12))
        settings = dict(re.findall(r"(MEETERGO_API_[A-Z]+)=(\S+)", said))
        headers = {"authorization": f"Bearer {settings['MEETERGO_API_KEY']}"}
        url = settings["MEETERGO_API_URL"]
        assert http.request("GET", f"{url}/v4/user/me", headers=headers).status == 200
        assert b"meetergo sandbox" in http.request("GET", f"{url}/").data
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0


def test_a_port_in_use_gives_an_error_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = CliRunner().invoke(command, ["--port", str(taken.getsockname()[1])])
    assert result.exit_code == 1
    assert "choose another with --port" in result.output


def test_an_unusable_state_gives_an_error_message(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"seed": 3}')
    result = CliRunner().invoke(command, ["--port", "0", "--state", str(tmp_path / "state.json")])
    assert result.exit_code == 1
    assert "state.json was made with --seed 3: use that one" in result.output
    assert "To begin afresh: --fresh." in result.output


def test_it_keeps_its_state_in_the_data_folder_unless_it_begins_afresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hosts: list[set[str]] = []

    def look(meetergo: Sandbox) -> None:
        hosts.append({user["email"] for user in meetergo.users.values()})
        if len(hosts) == 1:
            meetergo.actions.add_host("second@example.com")
        meetergo.save()
        meetergo._server.server_close()

    monkeypatch.setattr(Sandbox, "serve", look)
    outputs = [CliRunner().invoke(command, ["--port", "0", *words]).output for words in ([], [], ["--fresh"], [])]
    assert ["second@example.com" in found for found in hosts] == [False, True, False, False]
    assert len({re.findall(r"KEY=(\S+)", output)[0] for output in outputs}) == 1
    assert all("kept in data/sandbox.json" in output for output in outputs)
    assert stat.S_IMODE((tmp_path / "data" / "sandbox.json").stat().st_mode) == 0o600


def test_every_fault_has_an_option() -> None:
    text = CliRunner().invoke(command, ["--help"]).output
    for name in ("drop", "repeat", "reorder", "delay", "wire", "fail", "time-out", "rate-limit", "commit-then-fail"):
        assert f"--{name}" in text
    assert CliRunner().invoke(command, ["--drop", "2"]).exit_code == 2


def test_seed_data_is_added_once(start: Callable[..., Sandbox]) -> None:
    meetergo = start()
    for _ in range(2):
        seed(meetergo.accounts[0])
    assert sorted(kind["slug"] for kind in meetergo.meeting_types.values()) == [
        "30min-meeting",
        "discovery-call",
        "group-session",
    ]
