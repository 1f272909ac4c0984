"""`.env` means the same to every process, however it was started and whatever wrote the file."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.run import generate_keys
from runtime.env_file import UnusableFile, environment, read_env_file
from tests.forked_run import run_forked

ROOT = Path(__file__).parent.parent.parent
VALUE_WITH_HASH = "log:#one,mailto:a@b.example"

LINES = {
    "a hash": (f"NOTIFY_DEFAULT={VALUE_WITH_HASH}", VALUE_WITH_HASH),
    "a hash at the start": ("NOTIFY_DEFAULT=#x", "#x"),
    "a comment": ("NOTIFY_DEFAULT=log:  # for now", "log:"),
    "spaces": ("NOTIFY_DEFAULT = Bookings of us <a@b.example>", "Bookings of us <a@b.example>"),
    "double quotes": ('NOTIFY_DEFAULT="a # b" # c', "a # b"),
    "single quotes": ("NOTIFY_DEFAULT='a # b\\n$X'", "a # b\\n$X"),
    "export": ("export NOTIFY_DEFAULT=a#b", "a#b"),
    "no interpolation": ("X=1\nNOTIFY_DEFAULT=$X${X}", "$X${X}"),
    "backslashes": ("NOTIFY_DEFAULT=a\\tb", "a\\tb"),
    "twice": ("NOTIFY_DEFAULT=a\nNOTIFY_DEFAULT=b#c", "b#c"),
    "an equals sign": ("NOTIFY_DEFAULT=a=b==", "a=b=="),
}
BAD_VALUE = "# Schlüssel\nWEBHOOK_KEYS=short-üü\nREDIS_URL=http://h\n"


def write_env_file(folder: Path, text: str | bytes) -> Path:
    path = folder / ".env"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_value_is_the_same_under_honcho_and_without_it(tmp_path: Path) -> None:
    names = {kind: f"VALUE_{number}" for number, kind in enumerate(LINES)}
    lines = [text.replace("NOTIFY_DEFAULT", names[kind]) for kind, (text, _) in LINES.items()]
    write_env_file(tmp_path, "\n".join(lines))
    (tmp_path / "Procfile").write_text(f"it: {sys.executable} {tmp_path / 'it.py'}\n")
    (tmp_path / "it.py").write_text(
        "import json\nfrom pathlib import Path\nfrom runtime.env_file import environment\n"
        "print(json.dumps({k: v for k, v in environment(Path('.env')).items() if k.startswith('VALUE_')}))\n"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    honcho = [str(Path(sys.executable).parent / "honcho"), "start", "--no-prefix"]
    said = [
        subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False).stdout
        for command in ([sys.executable, "it.py"], honcho)
    ]
    expected = {names[kind]: value for kind, (_, value) in LINES.items()}
    for each in said:
        assert json.loads(next(line for line in each.splitlines() if line.startswith("{"))) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "NAME=Schlüssel#1\r\n".encode(),
        "\ufeffNAME=Schlüssel#1\r\n".encode(),
        "NAME=Schlüssel#1\r\n".encode("utf-16"),
        "NAME=Schlüssel#1\n".encode("utf-16-le"),
        "NAME=Schlüssel#1".encode("utf-16-be"),
        b"# Schl\xfcssel\n" + "NAME=Schlüssel#1".encode(),
        "\ufeff# one file\r\n\ufeffNAME=Schlüssel#1\r\n".encode(),
        "# pasted\r\n\u200bNAME=Schlüssel#1\r\n".encode(),
    ],
    ids=["UTF-8", "with a mark", "UTF-16", "without a mark", "big endian", "Latin-1 comment", "two files", "pasted"],
)
def test_every_encoding_of_an_editor_is_read(raw: bytes, tmp_path: Path) -> None:
    assert read_env_file(write_env_file(tmp_path, raw)).values == {"NAME": "Schlüssel#1"}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"X=1\n\nNAME=Schl\xfcssel\n", "NAME in {path}, line 3, cannot be used: it is not UTF-8"),
        (b"NAME=a\x00b", "NAME in {path}, line 1, cannot be used: it holds a NUL character"),
        (b'\n\nNAME="a', "NAME in {path}, line 3, cannot be read: write NAME=value"),
        (b"NAME='a'b\n", "NAME in {path}, line 1, cannot be read"),
        (b"\xff\xfeN\x00\xd8", "{path} cannot be read: save it as UTF-8"),
        (b"#" * 2_000_000, "{path} cannot be read: it is larger than 1024 KiB"),
    ],
)
def test_an_unreadable_line_is_reported_with_its_number(raw: bytes, expected: str, tmp_path: Path) -> None:
    path = write_env_file(tmp_path, raw)
    with pytest.raises(UnusableFile) as error:
        read_env_file(path)
    assert str(error.value).startswith(expected.format(path=path))


def test_the_environment_wins_unless_it_only_repeats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_env_file(tmp_path, "NAME='a # b'\n")
    for given, used in (("mine", "mine"), ("", ""), ("'a # b'", "a # b"), ("a # b", "a # b")):
        monkeypatch.setenv("NAME", given)
        assert environment(path)["NAME"] == used
    monkeypatch.delenv("NAME")
    assert environment(path)["NAME"] == "a # b"


def test_a_backslash_that_systemd_or_a_shell_removed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_env_file(tmp_path, r"SMTP_URL=smtp://FIRM\clerk:secret@exchange.example:587  # ours")
    for given in (
        "smtp://FIRMclerk:secret@exchange.example:587  # ours",
        r"smtp://FIRM\clerk:secret@exchange.example:587",
    ):
        monkeypatch.setenv("SMTP_URL", given)
        assert environment(path)["SMTP_URL"] == r"smtp://FIRM\clerk:secret@exchange.example:587"


def test_other_variables_reach_the_libraries_and_the_hook(tmp_path: Path) -> None:
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform" / "inbox_hook_of_ours.py").write_text("FOUND = 'found'\n")
    secret = "ak_live:" + "x" * 40
    write_env_file(tmp_path, f"PYTHONPATH=platform\nDJANGO_SETTINGS_MODULE=site#1\nMEETERGO_API_KEY={secret}\n")
    code = (
        "import os; from runtime.settings import DatabaseSettings; DatabaseSettings.load(); import inbox_hook_of_ours;"
        "print(inbox_hook_of_ours.FOUND, os.environ['DJANGO_SETTINGS_MODULE'], os.environ.get('MEETERGO_API_KEY'))"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["found", "site#1", "None"], done.stderr


def test_generated_keys_replace_empty_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WEBHOOK_KEYS", "BODY_KEYS"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / ".env"
    shutil.copy(ROOT / ".env.example", path)
    assert generate_keys(path) == ["WEBHOOK_KEYS", "BODY_KEYS"]
    lines, before = path.read_text().splitlines(), (ROOT / ".env.example").read_text().splitlines()
    assert len(lines) == len(before) + 1
    assert [line for line in lines if line.startswith("WEBHOOK_KEYS=") and len(line) > 40]
    assert generate_keys(path) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_generated_keys_keep_the_encoding(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WEBHOOK_KEYS", "BODY_KEYS"):
        monkeypatch.delenv(name, raising=False)
    path = write_env_file(tmp_path, "MAIL_FROM=Büro <a@b.example>\r\nBODY_KEYS=".encode(encoding))
    generate_keys(path)
    values = read_env_file(path).values
    assert values["MAIL_FROM"] == "Büro <a@b.example>"
    assert len(values["WEBHOOK_KEYS"]) > 40 < len(values["BODY_KEYS"])


@pytest.mark.parametrize(
    ("module", "encoding", "text", "message"),
    [
        ("receiver", "utf-16", BAD_VALUE, "cannot be used"),
        ("receiver", "utf-8-sig", "MAIL_FROM='open\n", ".env, line 1, cannot be read"),
        ("worker", "utf-8-sig", 'MAIL_FROM="A, B" <a@b.example>\n', "put '...' around a value"),
        ("worker", "utf-8-sig", BAD_VALUE, "cannot be used"),
        ("worker.scheduler", "utf-16-le", BAD_VALUE, "cannot be used"),
        ("console", "utf-16", BAD_VALUE, "cannot be used"),
    ],
)
def test_every_process_reads_every_encoding_and_reports_what_it_cannot_read(
    module: str, encoding: str, text: str, message: str, tmp_path: Path
) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    write_env_file(tmp_path, text.encode(encoding))
    done = run_forked(tmp_path, env, module, *(["endpoint"] if module == "console" else []))
    assert (done.returncode, message in done.stdout, "Traceback" in done.stdout) == (2, True, False), done.stdout


@pytest.mark.parametrize("raw", [b"NAME=Schl\xfcssel\n", b"# Schl\xfcssel\nHOST=..\n"])
def test_a_file_in_latin_1_ends_no_process_with_a_traceback(raw: bytes, tmp_path: Path) -> None:
    write_env_file(tmp_path, raw)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "WEBHOOK_KEYS": "k" * 40, "REDIS_URL": "redis://h"}
    done = run_forked(tmp_path, env, "receiver")
    assert (done.returncode, "Traceback" in done.stdout) == (2, False), done.stdout
    assert "NAME in .env, line 1" in done.stdout or "HOST cannot be used" in done.stdout


def test_a_folder_called_env_is_reported(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(UnusableFile, match="cannot be read: Is a directory"):
        read_env_file(tmp_path / ".env")
