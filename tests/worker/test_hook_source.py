"""A platform's hook is found in a file or a module, also where the platform's names clash with ours."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from sqlalchemy import text

import models
from devtools.send import samples
from meetergo_inbox import BookingSnapshot, ChangeSnapshot, import_file
from models.delivery import Delivery
from tests.console.cli import run_cli
from tests.worker.harness import AT, START, Harness, later, soon
from tests.worker.test_platform_page import block
from worker import hook
from worker.hook import UnusableHook
from worker.hook_source import shadowed
from worker.settings import WorkerSettings
from worker.start import open_services

HOOK = "def changed(session, booking, change):\n    SEEN.append((booking, change))\n\nSEEN = []\n"


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide modules of other tests' platforms, and undo what a test adds to Python's path and modules."""
    for name in [name for name in sys.modules if name.startswith(("platform_", "lawyers"))]:
        monkeypatch.delitem(sys.modules, name)
    known = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("PYTHONPATH", raising=False)
    yield
    for name in set(sys.modules) - known:
        if name.startswith(("platform_", "lawyers")):
            del sys.modules[name]


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    """A platform whose modules are called like packages of ours."""
    folder = tmp_path / "platform"
    for package in ("worker", "receiver"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(f"NAME = 'the platform has a {package}'\n")
    (folder / "console.py").write_text("")
    (folder / "models.py").write_text(
        "from sqlalchemy import BigInteger, DateTime\n"
        "from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column\n"
        "class Base(DeclarativeBase): ...\n"
        "class Lawyer(Base):\n"
        "    __tablename__ = 'lawyers'\n"
        "    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)\n"
        "    meetings: Mapped[int]\n"
    )
    (folder / "lawyers").mkdir()
    (folder / "lawyers" / "inbox_hook.py").write_text("import lawyers.rooms\n" + HOOK)
    (folder / "lawyers" / "rooms.py").write_text("")
    page = dedent(block("python", "/srv/platform/inbox_hook.py"))
    package = "worker = import_file(Path(__file__).with_name('worker'))\n\n\ndef changed"
    (folder / "inbox_hook.py").write_text(page.replace("\ndef changed", package))
    return folder


def test_a_platform_whose_models_are_called_like_ours_writes_to_them(
    open_harness: Callable[..., Harness], platform: Path
) -> None:
    harness = open_harness(platform_hook=f"{platform}/inbox_hook.py:changed", platform_path=str(platform))
    with harness.services.database.transaction() as session:
        session.execute(text("CREATE TABLE lawyers (id BIGINT PRIMARY KEY, meetings INTEGER NOT NULL)"))
        session.execute(text("INSERT INTO lawyers VALUES (4711, 0)"))
    try:
        harness.add_user(external_id="4711", meetergo_user_id=samples.HOST_ID)
        harness.process(samples.created("b1", START, AT))
        assert [row.last_error for row in harness.all(Delivery)] == [None]
        with harness.services.database.read_only() as session:
            assert session.scalar(text("SELECT meetings FROM lawyers")) == 1
    finally:
        with harness.services.database.transaction() as session:
            session.execute(text("DROP TABLE lawyers"))
    assert sys.modules["platform_worker"].NAME == "the platform has a worker"
    assert sys.modules["models"] is models


def test_shadowed_names_are_reported_at_the_start(
    platform: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str
) -> None:
    settings = WorkerSettings(
        platform_hook=f"{platform}/inbox_hook.py:changed",
        platform_path=str(platform),
        database_url=database_url,
        redis_url="redis://127.0.0.1",
    )
    open_services(settings).database.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"console, models, receiver and worker of {platform} are shadowed by this service's own: in the hook, "
        "`import console` finds meetergo-inbox's."
    )
    monkeypatch.setenv("PYTHONPATH", str(platform))
    assert len(list(shadowed("lawyers.inbox_hook:changed", []))) == 1
    monkeypatch.delenv("PYTHONPATH")
    assert list(shadowed("lawyers.inbox_hook:changed", [platform / "lawyers"])) == []


@pytest.mark.parametrize("form", ["{platform}/lawyers/inbox_hook.py:changed", "lawyers.inbox_hook:changed"])
def test_a_hook_is_named_by_its_file_or_its_module(
    form: str, open_harness: Callable[..., Harness], platform: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    harness = open_harness(platform_hook=form.format(platform=platform), platform_path=f"{other}:{platform}")
    harness.process(samples.created("b1", START, AT))
    module = sys.modules["platform_inbox_hook" if "/" in form else "lawyers.inbox_hook"]
    ((booking, change),) = module.SEEN
    assert (booking.id, change.kind) == ("b1", "created")


def test_a_relative_file_begins_at_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "inbox.py").write_text(HOOK)
    (tmp_path / "inbox.py").write_text(HOOK)
    monkeypatch.chdir(tmp_path)
    assert hook.load("hooks/inbox.py:changed")
    assert sys.modules["platform_inbox"].__file__ == str(tmp_path / "hooks" / "inbox.py")
    assert hook.load("inbox.py:changed")
    assert sys.modules["platform_inbox"].__file__ == str(tmp_path / "inbox.py")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "there is no file {folder}/inbox.py"),
        ("def changed(:\n", "SyntaxError: invalid syntax, at inbox.py:1"),
        ("x = 1\n\n  y = 's3cret'\n", "IndentationError: unexpected indent, at inbox.py:3"),
        ("", "module 'platform_inbox' has no attribute 'changed'"),
        ("{}['s3cret']\n", "KeyError at inbox.py:1 in <module>"),
        ("async def changed(session, booking, change): ...\n", "is async or a generator: it would never run"),
        ("def changed(booking): ...\n", "cannot be called with three arguments (session, booking, change)"),
        ("changed = 3\n", "is not a function"),
        ("import no_such_library\n", "No module named 'no_such_library', at inbox.py:1 in <module>. Put the folder"),
        ("from models import Lawyer\n", "models is a package of meetergo-inbox, which shadows yours"),
        ("import models.lawyer\n", "models is a package of meetergo-inbox, which shadows yours"),
    ],
)
def test_a_file_that_is_no_hook_is_an_error_message_at_start(source: str | None, said: str, tmp_path: Path) -> None:
    if source is not None:
        (tmp_path / "inbox.py").write_text(source)
    with pytest.raises(UnusableHook) as error:
        hook.load(f"{tmp_path}/inbox.py:changed")
    assert said.format(folder=tmp_path) in str(error.value)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("path", ["lawyers", "lawyers.inbox_hook", ":changed", "inbox.py", "inbox.py:", ":"])
def test_a_value_of_another_form_is_told_the_form(path: str) -> None:
    with pytest.raises(UnusableHook, match=r"it should look like package\.module:function or path/to/file\.py:funct"):
        hook.load(path)


def test_a_folder_that_does_not_exist_is_an_error_message(tmp_path: Path) -> None:
    with pytest.raises(UnusableHook, match="PLATFORM_PATH cannot be used: there is no folder"):
        hook.load("json:dumps", [tmp_path, tmp_path / "nowhere"])


def test_the_platforms_folders_come_behind_our_packages_and_before_installed_ones(platform: Path) -> None:
    (platform / "six.py").write_text("")
    sys.path.insert(0, str(Path(models.__file__).parent.parent))
    hook.load("", [platform])
    hook.load("", [platform])
    assert sys.path[1] == str(platform)
    assert sys.path.count(str(platform)) == 1


def test_a_package_is_imported_by_its_folder_once(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("from .lawyer import Lawyer\n")
    (tmp_path / "models" / "lawyer.py").write_text("class Lawyer: ...\n")
    module: Any = import_file(tmp_path / "models")
    assert module.Lawyer.__module__ == "platform_models.lawyer"
    assert import_file(tmp_path / "models") is module
    with pytest.raises(ImportError, match="there is no file"):
        import_file(tmp_path / "nothing.py")


SEEN: list[tuple[BookingSnapshot, ChangeSnapshot]] = []


def notes(_session: Any, booking: BookingSnapshot, change: ChangeSnapshot) -> None:
    SEEN.append((booking, change))


def writes(_session: Any, booking: Any, _change: ChangeSnapshot) -> None:
    booking.status = "cancelled"


def test_a_hook_sees_the_booking_its_host_and_the_change(open_harness: Callable[..., Harness]) -> None:
    SEEN.clear()
    harness = open_harness(platform_hook=f"{__name__}:notes")
    user = harness.add_user(external_id="4711", meetergo_user_id=samples.HOST_ID, language="de")
    harness.process(samples.created("b1", START, AT), samples.rescheduled("b1", soon(60), later(1), START))
    (_, created), (booking, change) = SEEN
    assert created.before is None
    assert (booking.host and booking.host.external_id, booking.platform_user_id) == ("4711", user.id)
    assert (booking.starts_at, booking.status, booking.revision) == (soon(60), "confirmed", 2)
    assert (change.kind, change.revision) == ("rescheduled", 2)
    assert (change.before or {})["starts_at"] == START.isoformat()
    assert booking.public_columns() == harness.booking().public_columns()
    assert (booking.metadata_, change.news) == (booking.metadata, ["rescheduled"])
    assert "guest" not in f"{booking!r} {change!r} {booking.host!r}"
    with pytest.raises(FrozenInstanceError):
        booking.status = "cancelled"  # type: ignore[misc]


def test_a_hook_cannot_change_the_booking(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(platform_hook=f"{__name__}:writes")
    harness.process(samples.created("b1", START, AT))
    (row,) = harness.all(Delivery)
    assert (row.status, row.last_error.partition(" at ")[0]) == ("pending", "FrozenInstanceError")


def test_a_command_reads_the_same_settings(
    open_harness: Callable[..., Harness], platform: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_harness().process(samples.created("b1", START, AT))
    (tmp_path / ".env").write_text(f"PLATFORM_HOOK=lawyers.inbox_hook:changed\nPLATFORM_PATH={platform}\n")
    done = run_cli("replay", "--booking", "b1", "--dry-run")
    assert (done.exit_code, "No module" in done.output) == (0, False), done.output
    (tmp_path / ".env").write_text("PLATFORM_HOOK=no_lawyers.inbox_hook:changed\n")
    done = run_cli("replay", "--booking", "b1", "--dry-run")
    assert done.exit_code == 2
    assert "No module named 'no_lawyers'. Put the folder that holds it into PLATFORM_PATH" in done.stderr
