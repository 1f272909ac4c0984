"""Shell completion of `inbox`: commands, options, and existing ids."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from console.__main__ import cli
from console.commands.system.completion import PROGRAM, VARIABLE
from devtools.processes import ROOT
from models.delivery import Delivery
from models.notification import Notification
from tests.console.cli import ON_SQLITE, run_cli
from tests.worker.harness import Harness

PATH = f"{ROOT / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
IN_BASH = """
eval "$(inbox completion bash)" || exit 1
complete_words() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _inbox_completion inbox
    echo "${COMPREPLY[*]}"
}
complete_words inbox deliveries ""
complete_words inbox bookings show un
DATABASE_URL=postgresql://127.0.0.1:1/x complete_words inbox bookings show un
"""


def offered(*words: str) -> list[str]:
    """Return the completions of the last word."""
    shell = BashComplete(cli, {}, PROGRAM, VARIABLE)
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


@ON_SQLITE
def test_bash_completes_from_any_folder_and_is_silent_on_errors(sample_data: Harness) -> None:
    done = subprocess.run(
        ["bash", "--norc", "-c", IN_BASH],
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.splitlines() == ["errors ignore list show", "unhosted-1", ""]
    assert done.stderr == ""


def test_commands_options_and_choices_are_completed() -> None:
    assert offered("deliv") == ["deliveries"]
    assert {"list", "show"} <= set(offered("deliveries", ""))
    assert offered("deliveries", "list", "--status", "") == ["pending", "done", "dead"]
    assert offered("deliveries", "list", "--bo") == ["--booking"]


def test_existing_ids_are_completed(sample_data: Harness) -> None:
    delivery, notification = sample_data.all(Delivery)[0], sample_data.all(Notification)[1]
    assert offered("deliveries", "show", delivery.id[:3]) == [delivery.id[:12]]
    assert offered("deliveries", "show", delivery.id[:20]) == [delivery.id[:20]]
    assert len(offered("deliveries", "show", "")) == 6
    assert offered("bookings", "show", "un") == offered("deliveries", "list", "--booking", "un") == ["unhosted-1"]
    assert offered("notifications", "show", "2") == ["2"]
    assert offered("notifications", "show", notification.message_id[:9]) == [notification.message_id]
    assert offered("bookings", "show", "%") == []
    for words in (["replay"], ["deliveries", "ignore"]):
        assert offered(*words, "more", delivery.id[:3]) == [delivery.id[:12]]
    for words in (["notifications", "replay"], ["notifications", "ignore"]):
        assert offered(*words, "more", "2") == ["2"]


@pytest.mark.parametrize("url", ["postgresql://127.0.0.1:1/x", "nonsense", "sqlite:///bare.db"])
def test_completion_is_silent_on_errors(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", url)
    assert offered("bookings", "show", "b") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    assert f"_INBOX_COMPLETE={shell}_complete" in run_cli("completion", shell).stdout


def test_inbox_works_through_a_symlink_from_any_folder(tmp_path: Path) -> None:
    (tmp_path / "inbox").symlink_to(ROOT / "bin" / "inbox")
    done = subprocess.run(
        [tmp_path / "inbox", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Operate meetergo-inbox" in done.stdout


@ON_SQLITE
def test_accounts_are_completed_and_an_error_is_silent(sample_data: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    sample_data.add_account("acme")
    assert offered("deliveries", "list", "--account", "") == ["default", "acme"]
    assert offered("deliveries", "list", "--account", "a") == ["acme"]
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/x")
    assert offered("deliveries", "list", "--account", "") == []
