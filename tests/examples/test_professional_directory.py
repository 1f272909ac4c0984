"""The example works against the sandbox."""

import os
import subprocess
import sys
from pathlib import Path

from devtools.processes import ROOT
from devtools.sandbox.server import Sandbox, sandbox
from operations.users.host_file import read_host_file

NAMES = {"Erstberatung": 30, "Telefonische Beratung": 15, "Ausführliche Beratung": 60, "Mandatsgespräch": 45}


def run(meetergo: Sandbox, folder: Path) -> str:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    env |= {"MEETERGO_API_URL": meetergo.url, "MEETERGO_API_KEY": meetergo.key}
    command = [sys.executable, "-m", "examples.professional_directory"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_lawyer_can_be_booked_and_is_not_created_twice(tmp_path: Path) -> None:
    with sandbox() as meetergo:
        assert run(meetergo, tmp_path).startswith('<iframe src="https://cal.meetergo.com/the-lawyer/the-lawyer-erst')
        assert "there already" in run(meetergo, tmp_path)
        (lawyer,) = [user for user in meetergo.users.values() if user["email"] == "lawyer@example.com"]
        infos = [item["meetingInfo"] for item in meetergo.meeting_types.values() if item["userId"] == lawyer["id"]]
    assert {info["name"]: info["duration"] for info in infos} == NAMES
    assert len(infos) == len(NAMES)


def test_the_hosts_of_the_examples_can_be_onboarded() -> None:
    assert all(line.entry for line in read_host_file(ROOT / "examples" / "hosts.csv"))
