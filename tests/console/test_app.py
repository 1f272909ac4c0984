"""The command line as a whole: errors are sentences, and exit codes are reliable."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner
from sqlalchemy.exc import OperationalError

from console.__main__ import cli
from console.app import RootGroup
from console.commands.deliveries.preview import KINDS
from console.commands.system import api_tokens, dashboard
from devtools.processes import ROOT
from models.api_token import TokenRole
from models.booking import NotificationKind
from models.intervention import Intervention
from operations import dashboard_login
from runtime.version import VERSION
from tests.console.cli import ON_SQLITE, run_cli
from tests.console.terminal import terminal
from tests.worker.harness import Harness

HEAVY = frozenset(
    """sqlalchemy psycopg alembic redis rq pydantic cryptography flask werkzeug jinja2 httpx urllib3
    requests apprise opentelemetry prometheus_client models worker receiver meetergo""".split()  # noqa: SIM905
)
HELP_OF_ALL = """
import sys

from console.__main__ import cli


def walk(command, path):
    cli.main([*path, "--help"], prog_name="inbox", standalone_mode=False)
    for name, each in getattr(command, "commands", {}).items():
        walk(each, [*path, name])


walk(None, [])
for name, lazy in cli.lazy_commands.items():
    walk(lazy.load(), [name])
print("MODULES", *sys.modules, sep="\\n")
"""
LISTS = """
from console.__main__ import cli

for words in ("deliveries list", "deliveries errors", "bookings list", "notifications list", "events tail --no-follow",
              "runs list", "accounts list", "api-tokens list"):
    cli.main(words.split(), standalone_mode=False)
import console.render.delivery, operations.deliveries.detail, operations.lookup  # what `show` imports
"""
READING = [
    ["deliveries", "list"],
    ["deliveries", "errors"],
    ["deliveries", "show", "abcd"],
    ["bookings", "list"],
    ["bookings", "show", "abcd"],
    ["notifications", "list"],
    ["notifications", "show", "1"],
    ["events", "tail", "--no-follow"],
]


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_a_store_that_is_down_or_empty_gives_an_error_message(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare.db").touch()
    for url, sentence in {
        "postgresql://u:its-password@127.0.0.1:1/x": "Error: the database does not answer: connection failed",
        f"sqlite:///{tmp_path}/bare.db": "the tables of this version: bin/inbox migrate",
    }.items():
        monkeypatch.setenv("DATABASE_URL", url)
        done = run_cli(*words)
        assert done.exit_code == 1
        assert sentence in done.stderr
        assert "its-password" not in done.stderr
        assert done.stdout == ""


def test_a_mistyped_command_is_answered_with_the_one_that_was_meant() -> None:
    assert "Did you mean 'status'?" in run_cli("stauts").stderr


def test_files_are_sought_where_the_command_was_typed(tmp_path: Path) -> None:
    (tmp_path / "hosts.csv").write_text("no,such,columns\n1,2,3\n")
    words = ["users", "onboard", "hosts.csv", "--dry-run"]
    done = subprocess.run([ROOT / "bin/inbox", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "column" in done.stderr
    assert "does not exist" not in done.stderr


def test_every_command_that_prints_rows_prints_json() -> None:
    commands = {name: lazy.load() for name, lazy in cli.lazy_commands.items()}
    for group in ("deliveries", "bookings", "notifications", "events"):
        found = commands.pop(group)
        commands |= {f"{group} {name}": each for name, each in found.commands.items()}  # type: ignore[attr-defined]
    with_json = {name for name, command in commands.items() if any(p.name == "as_json" for p in command.params)}
    assert with_json >= {" ".join(words[:2]) for words in READING} | {"status", "prune", "erase", "reencrypt"}


@pytest.mark.parametrize("name", sorted(cli.lazy_commands))
def test_a_listed_command_exists_and_has_the_listed_help(name: str) -> None:
    lazy = cli.lazy_commands[name]
    command = lazy.load()
    assert command.get_short_help_str(200) == lazy.help or lazy.name
    assert name in ("alive", "endpoint", "reseal", command.name)


@pytest.mark.parametrize("name", ["bookings", "deliveries", "users", "webhook"])
def test_a_group_lists_the_first_sentence_of_each_command_in_full(name: str) -> None:
    listed = CliRunner().invoke(cli, [name, "--help"], terminal_width=80).output.partition("Commands:")[2]
    group = cli.lazy_commands[name].load()
    assert isinstance(group, click.Group)
    for command in group.commands.values():
        assert f"{command.name} {command.get_short_help_str(500)}" in " ".join(listed.split())
    assert "..." not in listed


def test_choices_that_are_written_out_for_a_quick_start_are_complete() -> None:
    assert {*KINDS} == {*get_args(NotificationKind), "handed_over"}
    assert dashboard.ROLES == dashboard_login.ROLES
    assert get_args(TokenRole) == api_tokens.ROLES


def test_it_says_its_version() -> None:
    said = run_cli("--version")
    assert (said.exit_code, said.stdout) == (0, f"meetergo-inbox, version {VERSION}\n")
    assert f'version = "{VERSION}"' in (ROOT / "pyproject.toml").read_text()


def test_the_start_imports_no_command_and_no_store() -> None:
    program = "import sys, console.__main__; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not {"sqlalchemy", "redis", "rq", "flask", "httpx", "alembic", "psycopg"} & loaded
    assert not [name for name in loaded if name.startswith(("console.commands.", "operations.", "devtools."))]


def run_python(program: str, **options: Any) -> tuple[str, set[str]]:
    """Run a program in its own process; return what it prints, and the names of the modules that it has imported."""
    code = f"import sys\n{program}\nprint('MODULES', *sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code], **{"cwd": ROOT, **options}, capture_output=True, text=True, check=True
    )
    shown, _, modules = done.stdout.partition("MODULES\n")
    return shown, {*modules.split()}


def test_status_and_lists_import_only_what_they_show() -> None:
    program = "import console, operations.status, operations.checks, console.commands.deliveries.deliveries"
    _, modules = run_python(program)
    loaded = {name.partition(".")[0] for name in modules}
    assert {"sqlalchemy", "redis"} <= loaded
    assert not {"alembic", "flask", "jinja2", "httpx", "apprise", "prometheus_client", "psycopg", "receiver"} & loaded
    assert "rich.table" in modules
    assert not {"rich.traceback", "pygments", "pydantic_settings", "cryptography.fernet", "models.tables"} & modules


def test_the_driver_and_types_of_postgresql_are_imported_only_for_it() -> None:
    """They take a sixth of a command's start. Options for it of an index would make SQLAlchemy import its types."""
    _, modules = run_python("import models.tables, worker.services, operations.store_errors")
    assert not [name for name in modules if name.startswith(("sqlalchemy.dialects.", "psycopg"))]
    assert "psycopg" not in run_python("import models.migrate")[1]


@pytest.mark.parametrize(
    "program",
    [
        "import console, operations.status",
        "import console.__main__, operations.replay.service, worker.start",
        "import receiver.app, worker.__main__, worker.scheduler, dashboard.app, read_api.app, runtime.redis.client",
    ],
)
def test_redis_is_imported_without_opentelemetry(program: str) -> None:
    """It wants it for metrics of its own: a twentieth of what `status` imports. Whoever asks for traces finds it."""
    shown, modules = run_python(f"{program}\nprint([each for each in sys.modules if 'opentelemetry' in each])")
    assert "redis" in modules
    assert shown == "[]\n"
    assert "opentelemetry.trace" in run_python(f"{program}\nimport opentelemetry.trace")[1]


def test_the_services_of_a_worker_import_no_templates_and_no_objects_of_the_api() -> None:
    """A replay and its dry run open them, and need neither: together they took a seventh of the start."""
    _, modules = run_python("import worker.start, operations.replay.service, console.render.replay_preview")
    assert "worker.inbox.cancel_check" in modules
    assert not {"jinja2", "worker.channels.apprise", "meetergo.api.schemas", "httpx"} & modules
    assert "pydantic" not in run_python("import meetergo.events")[1]


def test_a_scheduler_without_an_api_key_imports_no_client_of_the_api() -> None:
    """It takes 5 MB of the process's memory, and a tenth of its start."""
    _, modules = run_python("import worker.scheduler")
    assert "worker.reconcile.runner" in modules
    assert not {"httpx", "limits", "tenacity", "meetergo.api.schemas"} & modules


def test_a_dashboard_imports_no_limiter_before_somebody_logs_in() -> None:
    """It takes 1.5 MB of the process's memory."""
    _, modules = run_python("import dashboard.app")
    assert "dashboard.screens.login" in modules
    assert "limits" not in modules


def test_no_garbage_is_collected_while_a_large_command_imports() -> None:
    """One collection takes a tenth of its start."""
    program = """
import gc
from console.__main__ import GC_THRESHOLD
gc.set_threshold(GC_THRESHOLD)
before = gc.get_stats()[0]["collections"]
import worker.reconcile.runner, worker.start, meetergo.api, operations.store_errors, models.migrate
import rich.progress, sqlalchemy.dialects.postgresql.psycopg, runtime.postgresql.driver
print(gc.get_stats()[0]["collections"] - before, gc.get_count()[0] < GC_THRESHOLD * 0.8)
"""
    assert run_python(program)[0] == "0 True\n"


@ON_SQLITE
def test_a_command_that_reads_the_database_alone_imports_no_redis(database_url: str, tmp_path: Path) -> None:
    """Redis's driver and RQ take a fifth of the start of such a command."""
    env = {**os.environ, "DATABASE_URL": database_url, "PYTHONPATH": str(ROOT)}
    shown, loaded = run_python(LISTS, cwd=tmp_path, env=env)
    assert "No delivery matches." in shown
    assert "sqlalchemy.orm" in loaded
    assert not {"redis", "rq", "alembic", "psycopg", "httpx", "rich.progress", "rich.live"} & loaded
    assert not {"sqlalchemy.dialects.postgresql", "cryptography", "models.tables"} & loaded
    assert not [name for name in loaded if name.startswith(("worker", "receiver"))]


def test_no_command_imports_a_store_a_server_or_our_own_rules_before_it_runs() -> None:
    """Each of them takes longer than a command may take to start, as for --help, for a typing error or for TAB."""
    done = subprocess.run([sys.executable, "-c", HELP_OF_ALL], cwd=ROOT, capture_output=True, text=True, check=True)
    shown, _, modules = done.stdout.partition("MODULES\n")
    assert shown.count("Usage: inbox ") > len(cli.lazy_commands)
    loaded = set(modules.split())
    assert not HEAVY & {name.partition(".")[0] for name in loaded}
    assert {name for name in loaded if name.startswith("operations.")} == {"operations.text"}


def test_the_commands_and_options_of_the_operations_page_exist() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    table = page.partition("| command | what it shows |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines()[2:]]
    commands = [words.split() for said, _ in rows for words in re.findall(r"`(.+?)`", said)]
    assert len(commands) == 10
    for words in commands:
        help_text = run_cli(*(word for word in words if word != "ID"), "--help")
        assert help_text.exit_code == 0
        explained = next(text for said, text in rows if f"`{' '.join(words)}`" in said)
        for option in re.findall(r"`(--[a-z]+)", explained):
            assert option in help_text.stdout


def test_the_five_commands_of_the_readme_exist() -> None:
    table = (ROOT / "README.md").read_text().partition("| command | what it does |")[2].partition("\n\n")[0]
    commands = re.findall(r"^\| `bin/inbox (.+?)` \|", table, re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        words = [word for word in command.split() if word != "ID"]
        help_text = run_cli(*(word for word in words if not word.startswith("-")), "--help")
        assert help_text.exit_code == 0
        assert all(word in help_text.stdout for word in words if word.startswith("-"))


def test_exit_codes_are_documented() -> None:
    done = run_cli("--help")
    assert "130" in done.stdout
    assert "2   wrong usage" in done.stdout
    assert run_cli("deliveries", "list", "--status", "unheard-of").exit_code == 2


@ON_SQLITE
def test_a_closed_pipe_is_no_error(sample_data: Harness) -> None:
    for words in ("events tail --since 1h", "deliveries list --limit 1000 --json"):
        line = f"{sys.executable} -m console {words} | head -1; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", line],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode in (0, 141)
        assert done.stderr == ""
        assert len(done.stdout.splitlines()) == 1


@ON_SQLITE
@pytest.mark.parametrize("words", ["deliveries list", "replay --since 1h --dry-run"])
def test_a_pipe_that_nobody_reads_gives_the_exit_code_of_sigpipe(sample_data: Harness, words: str) -> None:
    """Not that of what needs a person."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "console", *words.split()],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_interruption_prints_nothing_and_exits_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.chdir(tmp_path)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("DATABASE_URL", f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x")
        with terminal("deliveries", "list") as screen:
            with silent.accept()[0]:
                screen.press_ctrl_c()
                assert screen.end() == 130
    assert "Traceback" not in screen.text


@ON_SQLITE
def test_a_list_on_a_narrow_terminal_truncates_no_id(sample_data: Harness) -> None:
    with terminal("deliveries", "list", "--status", "dead", columns=80) as screen:
        assert screen.end() == 0
    (head, _, line) = screen.text.strip().splitlines()[:3]
    assert "received" not in head
    assert len(line.split()[0]) == 12
    assert "the body is not JSON" in line


def test_a_statement_interrupted_by_ctrl_c_is_no_database_error() -> None:
    @click.command()
    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise OperationalError("", {}, Exception("can't change 'autocommit' now"))

    done = CliRunner().invoke(RootGroup("inbox", commands=[interrupted]), ["interrupted"])
    assert (done.exit_code, done.stderr) == (130, "")


def test_help_is_found_by_every_usual_word() -> None:
    expected = run_cli("status", "--help").stdout
    assert "Show the state of the system" in expected
    assert run_cli("status", "-h").stdout == run_cli("help", "status").stdout == expected
    assert run_cli("help").stdout == run_cli("-h").stdout == run_cli("--help").stdout


def in_shell(line: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", "-c", line.replace("inbox", f"{sys.executable} -m console", 1)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@ON_SQLITE
@pytest.mark.parametrize(
    "words",
    ["deliveries list --event", "deliveries show", "bookings list --guest", "replay --dead --reason", "calendar link"],
)
def test_an_argument_that_is_not_utf_8_is_a_wrong_usage(sample_data: Harness, words: str) -> None:
    done = run_cli(*words.split(), "M\udcfcller")
    assert done.exit_code == 2
    assert "an argument is not UTF-8: M\\xfcller" in done.stderr


@ON_SQLITE
def test_a_file_may_have_a_name_that_is_not_utf_8(sample_data: Harness, tmp_path: Path) -> None:
    file = tmp_path / "M\udcfcller.csv"
    file.write_text("external_id,email\n")
    assert "is not UTF-8" not in run_cli("users", "onboard", str(file)).stderr


@ON_SQLITE
def test_a_login_name_and_an_answer_that_are_not_utf_8_are_read(sample_data: Harness) -> None:
    done = in_shell("inbox replay --dead --yes --reason fixed", LOGNAME="M\udcfcller", USER="M\udcfcller")
    assert (done.returncode, done.stderr) == (0, "")
    assert sample_data.all(Intervention)[0].by == "M\\xfcller"
    answered = in_shell("printf '\\xff\\n' | inbox adopt-queue another", PYTHONIOENCODING="utf-8:strict")
    assert (answered.returncode, "Traceback" in answered.stderr) == (1, False)


@ON_SQLITE
def test_a_closed_standard_stream_is_no_error(sample_data: Harness) -> None:
    for redirection, prints in (("<&-", True), ("2>&-", True), (">&-", False), ("<&- >&- 2>&-", False)):
        done = in_shell(f"inbox deliveries list {redirection}")
        assert (done.returncode, done.stderr, bool(done.stdout)) == (0, "", prints), redirection


@ON_SQLITE
@pytest.mark.parametrize("words", ["deliveries list", "bookings list --json", "--help"])
def test_an_output_that_cannot_be_written_is_said_in_a_sentence(sample_data: Harness, words: str) -> None:
    done = in_shell(f"inbox {words} >/dev/full")
    assert (done.returncode, done.stderr) == (1, "Error: the output cannot be written: No space left on device\n")
