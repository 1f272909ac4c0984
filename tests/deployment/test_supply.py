"""Pins with hashes, the audit's exit codes, and releases."""

import re
import shutil
import subprocess
import sys
from datetime import date
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from devtools import release
from devtools.release import PLACES, NotReleasable, prepare
from runtime.version import VERSION

ROOT = Path(__file__).parent.parent.parent
PIN = re.compile(r"^([A-Za-z0-9._-]+==\S+)", re.MULTILINE)
VULNERABLE = '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}]}'
SKIPPED = '{"dependencies": [{"name": "a", "skip_reason": "not found"}]}'
"""As pip-audit reports it, with success, where its data is a mirror that has none."""
FINE = '{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}'


def test_the_hashes_are_those_of_the_pins() -> None:
    hashed = (ROOT / "requirements.hashes.txt").read_text()
    assert set(PIN.findall(hashed)) == set(PIN.findall((ROOT / "requirements.txt").read_text()))
    blocks = re.split(r"^(?=[A-Za-z0-9])", hashed, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in hashed


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("python", ["3.11.0", "3.11.3", "3.12.0", "3.13.0", "3.14.0"])
def test_the_pins_are_complete_for_every_python(python: str, platform: str) -> None:
    """pip-compile sees only what the Python that runs it needs, and `--require-hashes` allows nothing else."""
    pins = [Requirement(pin) for pin in PIN.findall((ROOT / "requirements.txt").read_text())]
    place: dict[str, Any] = {
        **default_environment(),
        "python_version": ".".join(python.split(".")[:2]),
        "python_full_version": python,
        "sys_platform": platform,
        "platform_system": platform.title(),
    }
    needed = {
        canonicalize_name(each.name)
        for pin in pins
        for each in map(Requirement, requires(pin.name) or ())
        if not each.marker or any(each.marker.evaluate({**place, "extra": extra}) for extra in ("", *pin.extras))
    }
    assert needed - {canonicalize_name(pin.name) for pin in pins} == set()


def test_the_tools_are_pinned() -> None:
    lines = [line for line in (ROOT / "deploy/tools/requirements.txt").read_text().splitlines() if line[:1].isalnum()]
    assert lines
    assert all(PIN.fullmatch(line) for line in lines)


def audit(tmp_path: Path, script: str) -> "subprocess.CompletedProcess[str]":
    """`make audit` with a script in place of pip-audit."""
    tool = tmp_path / "audit"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    command = [sys.executable, str(ROOT / "deploy/tools/audit.py"), str(tool)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("script", "code", "text"),
    [
        (f"echo '{FINE}'", 0, "0 known vulnerabilities in 1 packages."),
        (f"echo '{VULNERABLE}'; exit 1", 1, "a 1: PYSEC-1, fixed in 2"),
        ("echo 'ConnectionError: no route' >&2; exit 1", 3, "could not be reached: ConnectionError: no route"),
        (f"echo '{SKIPPED}'", 3, "could not be reached: 1 packages, such as: not found"),
    ],
)
def test_an_audit_without_data_is_not_a_clean_one(tmp_path: Path, script: str, code: int, text: str) -> None:
    done = audit(tmp_path, script)
    assert done.returncode == code
    assert text in done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in PLACES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## Unreleased\n\n- It works.\n\n## 0.0.1 (2026-01-01)\n\n- Begun.\n"
    )
    return tmp_path


def test_a_release_names_what_was_unreleased(checkout: Path) -> None:
    prepare(checkout, "9.0.0", date(2026, 12, 1))
    for name, line in PLACES.items():
        assert line.format("9.0.0") in (checkout / name).read_text()
        assert line.format(VERSION) not in (checkout / name).read_text()
    text = (checkout / "CHANGELOG.md").read_text()
    assert "## Unreleased\n\n## 9.0.0 (2026-12-01)\n\n- It works.\n\n## 0.0.1" in text


@pytest.mark.parametrize(
    ("version", "problem"), [("v1", "no version such as"), ("0.0.0", "older than"), ("", "no version")]
)
def test_a_version_that_is_none_changes_nothing(checkout: Path, version: str, problem: str) -> None:
    before = {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()}
    with pytest.raises(NotReleasable, match=problem):
        prepare(checkout, version, date(2026, 12, 1))
    assert {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file()} == before


def test_nothing_is_released_twice(checkout: Path) -> None:
    prepare(checkout, "9.0.0", date(2026, 12, 1))
    with pytest.raises(NotReleasable, match="nothing under"):
        prepare(checkout, "9.0.1", date(2026, 12, 1))


def test_the_next_version_can_be_released() -> None:
    """Every place states the current one."""
    for name, line in PLACES.items():
        assert line.format(VERSION) in (ROOT / name).read_text()


def test_the_command_says_what_to_do_next_or_why_not(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(release, "ROOT", checkout)
    monkeypatch.setattr(sys, "argv", ["release", "9.0.0"])
    release.main()
    assert "git tag -a v9.0.0" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["release"])
    with pytest.raises(SystemExit) as ended:
        release.main()
    assert ended.value.code == 2
    assert "no version such as" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("CHANGELOG.md", "## Unreleased\n\n- It works.\n\n## 9.0.0 (2026-01-01)\n", "has 9.0.0 already"),
        ("pyproject.toml", 'version = "0.0.9"\n', "does not state"),
    ],
)
def test_a_checkout_that_contradicts_itself_is_not_released(
    checkout: Path, file: str, content: str, problem: str
) -> None:
    (checkout / file).write_text(content)
    with pytest.raises(NotReleasable, match=problem):
        prepare(checkout, "9.0.0", date(2026, 12, 1))
