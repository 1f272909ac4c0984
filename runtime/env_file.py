"""The file `.env`, read in the same way by every process, however it was started.

The rules are those of python-dotenv, without interpolation: a name may follow `export`, quotes keep what is
between them, and a comment begins with a `#` after white space. Process managers read the same file by their own
rules and put the result into the environment (honcho cuts a value at any `#` and drops its spaces). A variable
that holds such a reading counts as not set, so that the file's own value applies.
"""

import codecs
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream
from honcho.environ import parse as read_as_honcho

MAX_BYTES = 1024 * 1024
"""Maximum size of the file: a larger one is not a list of settings."""
ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
INVISIBLE = re.compile("\ufeff|^[\u200b\u2060]+", re.MULTILINE)
"""A BOM begins each file of several in one. Blanks without a width are pasted with lines of a page or a chat."""
HOW_TO_WRITE = "write NAME=value, close every quote, and put '...' around a value of which only a part is in quotes"
NAME = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)")
BACKSLASH = re.compile(r"\\(.)")
PYTHONPATH = "PYTHONPATH"
ENV_FILE = Path(".env")


class UnusableFile(ValueError):
    """The file cannot be read; the message says why and quotes no value."""


@dataclass(frozen=True)
class EnvFile:
    """The content of the file.

    Attributes:
        text: the whole text. Bytes that are not UTF-8 are surrogate escapes.
        encoding: encoding of the file.
        values: name -> value; the last one counts.
        lines: name -> all its lines, unparsed.
    """

    text: str = field(default="", repr=False)
    encoding: str = "utf-8"
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)

    def may_stem_from_file(self, name: str, value: str) -> bool:
        """Whether a value is another program's reading of the file's line: honcho's, Docker's or systemd's."""
        return any(value in _foreign_readings(name, line) for line in self.lines.get(name, ()))

    def with_values(self, values: Mapping[str, str]) -> bytes:
        """Return the new content: each value replaces an empty one of its name, or is appended."""
        text = self.text
        for name, value in values.items():
            line = re.compile(rf"^([ \t]*(?:export[ \t]+)?{name}[ \t]*=)[ \t]*(?=\r?$)", re.MULTILINE)
            text, found = line.subn(r"\g<1>" + value.replace("\\", r"\\"), text, count=1)
            if not found:
                text += f"{'' if text.endswith(chr(10)) or not text else chr(10)}{name}={value}\n"
        return text.encode(self.encoding, "surrogateescape" if self.encoding.startswith("utf-8") else "strict")


def read_env_file(path: Path) -> EnvFile:
    """Read a file; a missing one is empty.

    Raises:
        UnusableFile: it is not text, or one of its lines is not NAME=value.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return EnvFile()
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise UnusableFile(f"{path} cannot be read: it is larger than {MAX_BYTES // 1024} KiB")
    text, encoding = _decoded(content, path)
    values: dict[str, str] = {}
    lines: dict[str, list[str]] = {}
    for binding in parse_stream(StringIO(INVISIBLE.sub("", text), newline="")):
        if binding.error:
            raise UnusableFile(f"{_location(path, binding)} cannot be read: {HOW_TO_WRITE}")
        if binding.key and binding.value is not None:
            _check(path, binding)
            values[binding.key] = binding.value
            lines.setdefault(binding.key, []).append(binding.original.string)
    return EnvFile(text, encoding, values, lines)


def read_secret(path: Path) -> str:
    """Read a file that holds one secret, without the line end that editors append.

    Raises:
        UnusableFile: it cannot be read, is empty or is not text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise UnusableFile("it is not the path of a file") from None
    if len(content) > MAX_BYTES:
        raise UnusableFile(f"{path} is larger than {MAX_BYTES // 1024} KiB")
    try:
        secret = content.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise UnusableFile(f"{path} is not UTF-8") from None
    if not secret.strip():
        raise UnusableFile(f"{path} is empty")
    return secret


def environment(path: Path | None) -> dict[str, str]:
    """Return the environment's variables, including empty ones, with the file's values added.

    Raises:
        UnusableFile: the file cannot be read.
    """
    file = read_env_file(path) if path else EnvFile()
    given = {name: value for name, value in os.environ.items() if not file.may_stem_from_file(name, value)}
    return {**file.values, **given}


def export(path: Path, setting_names: frozenset[str]) -> None:
    """Export the file's other values to this process: proxies, certificates, settings of the platform's hook.

    Args:
        path: the file.
        setting_names: names of this program's settings. They are not exported: no child process inherits a secret.

    Raises:
        UnusableFile: the file cannot be read.
    """
    file = read_env_file(path)
    for name, value in file.values.items():
        if name not in setting_names and (name not in os.environ or file.may_stem_from_file(name, os.environ[name])):
            os.environ[name] = value
    for folder in filter(None, reversed(file.values.get(PYTHONPATH, "").split(os.pathsep))):
        if folder not in sys.path:
            sys.path.insert(1, folder)


def _foreign_readings(name: str, line: str) -> Iterator[str | None]:
    raw = line.partition("=")[2].strip()
    yield raw
    yield BACKSLASH.sub(r"\1", raw)  # systemd and shells, outside of quotes
    with suppress(ValueError):  # an unclosed quote
        yield read_as_honcho(line).get(name)


def _decoded(content: bytes, path: Path) -> tuple[str, str]:
    """Decode UTF-8, or UTF-16 as a Windows shell writes it."""
    encoding = next((name for bom, name in ENCODINGS.items() if content.startswith(bom)), None)
    if encoding is None and b"\x00" in content[:2]:
        encoding = "utf-16-be" if content[:1] == b"\x00" else "utf-16-le"
    try:
        if encoding in (None, "utf-8-sig"):
            return content.decode(encoding or "utf-8", "surrogateescape"), encoding or "utf-8"
        return content.decode(encoding), encoding
    except UnicodeDecodeError:
        raise UnusableFile(f"{path} cannot be read: save it as UTF-8") from None


def _check(path: Path, binding: Binding) -> None:
    value = binding.value or ""
    if "\x00" in value:
        raise UnusableFile(f"{_location(path, binding)} cannot be used: it holds a NUL character")
    if not value.isprintable() and any("\ud800" <= character <= "\udfff" for character in value):
        raise UnusableFile(f"{_location(path, binding)} cannot be used: it is not UTF-8; save the file as UTF-8")


def _location(path: Path, binding: Binding) -> str:
    """Return name, file and line number. The parser counts the blank lines before a binding as part of it."""
    text = binding.original.string
    line = binding.original.line + len(re.findall(r"\r\n|\n|\r", text[: len(text) - len(text.lstrip())]))
    name = NAME.match(text)
    return f"{name[1] if name else 'a line'} in {path}, line {line},"
