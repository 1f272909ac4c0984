"""deploy/install.sh in a folder of its own, and its units: checked by systemd's own tools, and run by a supervisor."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from redis import Redis
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from devtools.processes import wait_until_ready
from devtools.redis_server import free_port
from runtime.signed_address import AddressSigner
from tests.deployment.systemd_unit import read_unit, services
from tests.payloads import payload
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
ANALYZE = shutil.which("systemd-analyze")
PROCESSES = {
    "receiver": "receiver",
    "worker": "worker",
    "scheduler": "worker.scheduler",
    "dashboard": "dashboard",
    "api": "read_api",
}
NOBODY = 65534
MAX_EXPOSURE = 2.5
"""On systemd's scale from 0 to 10; a service without a setting has 9.6."""


@dataclass
class Installation:
    """Folders of an installation in a test, and the checkout that it comes from."""

    folder: Path
    source: Path = ROOT

    def run(self, *arguments: str, umask: int = -1, **variables: str) -> "subprocess.CompletedProcess[str]":
        names = {"PREFIX": "opt", "SYSCONFDIR": "etc", "STATEDIR": "var", "UNITDIR": "units", "BINDIR": "bin"}
        env = {name: str(self.folder / place) for name, place in names.items()}
        python = {"PYTHON": sys.executable, "VENV": sys.prefix, "SERVICE_USER": pwd.getpwuid(os.getuid()).pw_name}
        return subprocess.run(
            ["sh", str(self.source / "deploy" / "install.sh"), *arguments],
            env={"PATH": os.environ["PATH"], **env, **python, **variables},
            umask=umask,
            capture_output=True,
            text=True,
            check=False,
        )

    def install(self, umask: int = -1, **variables: str) -> str:
        done = self.run(umask=umask, MIGRATE="no", **variables)
        assert done.returncode == 0, done.stderr
        return self.release()

    def release(self, link: str = "current") -> str:
        return (self.folder / "opt" / link).resolve().name

    def configure(self, **settings: str) -> None:
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (self.folder / "etc" / "env").write_text("".join(lines))

    def console(self, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        command = [str(self.folder / "bin" / "meetergo-inbox"), *arguments]
        environment = {"PATH": os.environ["PATH"], **settings}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def units(self) -> dict[str, Path]:
        found = (self.folder / "units").glob("*.service")
        return {unit.stem.removeprefix("meetergo-inbox-"): unit for unit in found}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    installation = Installation(tmp_path_factory.mktemp("installation"))
    installation.install()
    return installation


def test_the_units_run_what_the_procfile_runs(installed: Installation) -> None:
    units = installed.units()
    assert set(units) == set(PROCESSES)
    for name, unit in units.items():
        directives = read_unit(unit)
        python = installed.folder / "opt" / "current" / ".venv" / "bin" / "python"
        assert directives["ExecStart"] == [f"{python} -m {PROCESSES[name]}"]
        assert python.exists()
        assert directives["Restart"] == ["always"]
        assert directives["StartLimitIntervalSec"] == ["0"]
        assert directives["EnvironmentFile"] == [str(installed.folder / "etc" / "env")]
    assert "@" not in (installed.folder / "units" / "meetergo-inbox.target").read_text()


def test_each_process_gets_its_own_secrets_only(installed: Installation) -> None:
    given = {name: read_unit(unit).get("LoadCredential", []) for name, unit in installed.units().items()}
    names = {name: [credential.partition(":")[0] for credential in credentials] for name, credentials in given.items()}
    assert names == {
        "receiver": ["webhook_keys", "body_keys"],
        "worker": ["body_keys"],
        "scheduler": ["body_keys"],
        "dashboard": ["webhook_keys", "body_keys"],
        "api": ["webhook_keys"],
    }
    for credentials in given.values():
        assert all(Path(credential.partition(":")[2]).exists() for credential in credentials)


@pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not installed: apt-get install systemd")
def test_systemd_accepts_the_units_and_calls_them_hardened(installed: Installation) -> None:
    files = [str(file) for file in (installed.folder / "units").iterdir()]
    env = {"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{installed.folder / 'units'}:"}
    verified = subprocess.run([str(ANALYZE), "verify", *files], env=env, capture_output=True, text=True, check=False)
    assert "meetergo-inbox" not in verified.stderr
    for unit in installed.units().values():
        command = [str(ANALYZE), "security", "--offline=true", str(unit)]
        report = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        assert float(report.strip().splitlines()[-1].partition("service: ")[2].split()[0]) <= MAX_EXPOSURE


def test_secrets_are_generated_once_and_readable_by_the_service_alone(installed: Installation, tmp_path: Path) -> None:
    shutil.copytree(installed.folder, tmp_path, symlinks=True, dirs_exist_ok=True)
    installation = Installation(tmp_path)
    secrets = {file.name: file.read_text() for file in (tmp_path / "etc" / "secrets").iterdir()}
    assert set(secrets) == {"webhook_keys", "body_keys"}
    assert all(file.stat().st_mode & 0o007 == 0 for file in (tmp_path / "etc").rglob("*"))
    (tmp_path / "etc" / "env").write_text("# mine\n")
    installation.install()
    assert {file.name: file.read_text() for file in (tmp_path / "etc" / "secrets").iterdir()} == secrets
    assert (tmp_path / "etc" / "env").read_text() == "# mine\n"


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_service_reads_its_code_and_only_root_writes_it_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    source = tmp_path / "source"
    for name in ("deploy", "docs", "examples", "runtime", "receiver"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("Procfile", "CHANGELOG.md", "requirements.txt", "requirements.hashes.txt"):
        shutil.copy(ROOT / name, source)
    (source / "Dockerfile").write_text("COPY runtime runtime\nCOPY receiver receiver\n")
    for path in source.rglob("*"):  # as a clone with this umask has it
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)
        if os.getuid() == 0:
            os.chown(path, NOBODY, NOBODY)
    installation = Installation(tmp_path / "installed", source)
    releases = installation.folder / "opt" / "releases"
    releases.mkdir(parents=True)
    for folder in (releases, releases.parent):
        folder.chmod(0o755 & ~umask)  # as an earlier version made it
    installation.install(umask=umask)
    files = {path: path.stat() for path in installation.folder.rglob("*") if not path.is_symlink()}
    code = {path: file for path, file in files.items() if not {"etc", "var"} & set(path.parts[len(tmp_path.parts) :])}
    assert {path.name for path in code} > {"receiver", "process.py", "meetergo-inbox-worker.service"}
    assert [path for path, file in code.items() if not file.st_mode & stat.S_IROTH] == []
    assert [path for path, file in files.items() if file.st_mode & (stat.S_IWGRP | stat.S_IWOTH)] == []
    assert {file.st_uid for file in files.values()} == {os.getuid()}


def test_the_command_reads_secrets_that_were_added_for_a_unit(installed: Installation, tmp_path: Path) -> None:
    """`replay` needs what the worker has, also at night."""
    secret = installed.folder / "etc" / "secrets" / "smtp_url"
    secret.write_text("smtp://127.0.0.1:1\n")
    secret.with_name("smtp_url.old").write_text("")
    url, redis = f"sqlite:///{tmp_path}/inbox.db", "redis://127.0.0.1:1/0"
    installed.configure(DATABASE_URL=url, REDIS_URL=redis, NOTIFY_DEFAULT="mailto:", MAIL_FROM="inbox@example.com")
    assert installed.console("migrate").returncode == 0
    by_hand: list[dict[str, str]] = [{}, {"SMTP_URL": "smtp://127.0.0.1:2"}]
    for settings in by_hand:
        done = installed.console("replay", "--dead", "--dry-run", **settings)
        assert (done.returncode, done.stdout, done.stderr) == (0, "There is nothing to replay.\n", "")


def test_the_first_installation_waits_for_the_settings(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    done = installation.run()  # would fail: nobody can migrate the database of the example
    assert (done.returncode, done.stderr) == (0, "")
    assert "Put your settings into" in done.stdout
    installation.configure(DATABASE_URL=f"sqlite:///{tmp_path}/inbox.db")
    assert installation.run().returncode == 0
    assert (tmp_path / "inbox.db").exists()


def test_an_upgrade_puts_a_release_beside_the_former_and_rolls_back(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    assert installation.run("rollback").returncode == 2
    for number in range(4):
        (tmp_path / "opt" / "releases" / f"0.0.{number}-20260101T000000").mkdir(parents=True)
    (tmp_path / "opt" / "current").symlink_to("releases/0.0.0-20260101T000000")
    first, second = installation.release(), installation.install()
    assert first != second
    assert (installation.release(), installation.release("previous")) == (second, first)
    assert {first, second} < {folder.name for folder in (tmp_path / "opt" / "releases").iterdir()}
    assert len(list((tmp_path / "opt" / "releases").iterdir())) == 4  # three, and the one to roll back to
    assert installation.run("rollback").returncode == 0
    assert (installation.release(), installation.release("previous")) == (first, second)


def test_a_database_that_cannot_be_migrated_switches_nothing(tmp_path: Path) -> None:
    installation, first = Installation(tmp_path), "0.0.1-20260101T000000"
    (tmp_path / "opt" / "releases" / first).mkdir(parents=True)
    (tmp_path / "opt" / "current").symlink_to(f"releases/{first}")
    (tmp_path / "etc").mkdir()
    installation.configure(DATABASE_URL="postgresql://nobody@127.0.0.1:1/inbox?connect_timeout=1")
    done = installation.run()
    assert done.returncode == 1
    assert "nothing was switched" in done.stderr
    assert installation.release() == first
    assert [folder.name for folder in (tmp_path / "opt" / "releases").iterdir()] == [first]


def test_an_old_python_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    done = Installation(tmp_path / "installation").run(PYTHON=str(tmp_path / "python"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "Python 3.11 or newer is needed" in done.stderr


def test_a_package_can_be_made_of_it(tmp_path: Path) -> None:
    """With DESTDIR, everything lies under it, and names the places without it."""
    env = {"PATH": os.environ["PATH"], "DESTDIR": str(tmp_path), "PYTHON": sys.executable, "VENV": sys.prefix}
    subprocess.run(["sh", str(ROOT / "deploy" / "install.sh")], env=env, check=True, capture_output=True)
    unit = read_unit(tmp_path / "etc/systemd/system/meetergo-inbox-receiver.service")
    assert unit["ExecStart"] == ["/opt/meetergo-inbox/current/.venv/bin/python -m receiver"]
    assert unit["User"] == ["meetergo-inbox"]
    assert (tmp_path / "opt/meetergo-inbox/current/receiver").is_dir()
    assert (tmp_path / "usr/local/bin/meetergo-inbox").exists()


def test_a_killed_process_is_restarted_and_the_others_never_stop(
    installed: Installation, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    port, database = free_port(), tmp_path / "inbox.db"
    installed.configure(
        DATABASE_URL=f"sqlite:///{database}",
        REDIS_URL=redis_url,
        HOST="127.0.0.1",
        PORT=str(port),
        NOTIFY_DEFAULT="log:",
    )
    assert installed.console("migrate").returncode == 0
    key = (installed.folder / "etc" / "secrets" / "webhook_keys").read_text().strip()
    url = f"http://127.0.0.1:{port}"
    engine = create_engine(f"sqlite:///{database}")

    def post(booking: str) -> int:
        body = payload("booking_created", id=booking)
        return httpx.post(url + AddressSigner([key]).path("default"), content=body).status_code

    def is_booked(booking: str) -> bool:
        query = text("SELECT count(*) FROM bookings WHERE id = :id")
        try:
            with engine.connect() as connection:
                return bool(connection.scalar(query, {"id": booking}))
        except DBAPIError:
            return False

    units = [unit for name, unit in installed.units().items() if name not in ("dashboard", "api")]
    with services(units, tmp_path) as running:
        wait_until_ready(url, running["receiver"].log)
        assert post("first") == 200
        wait_until(partial(is_booked, "first"))
        others = {name: service.pid for name, service in running.items() if name != "receiver"}
        running["receiver"].kill()
        wait_until_ready(url, running["receiver"].log)
        assert {name: running[name].pid for name in others} == others
        running["worker"].kill()
        running["scheduler"].kill()
        assert post("second") == 200
        wait_until(partial(is_booked, "second"))
        assert "encrypted" not in running["receiver"].log.read_text()  # it read BODY_KEYS from its credential
    engine.dispose()
