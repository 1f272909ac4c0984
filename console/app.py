"""The root command group: finds a command when it is used, and turns errors into exit codes."""

import errno
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import click

VARIABLE = "_INBOX_COMPLETE"
"""The variable that the shell sets when it requests completions."""
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
"""The shell's exit code for a program killed by SIGPIPE."""


UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Errors of an output that is no pipe: a full disk, or a terminal that is gone."""


class LazyCommand(NamedTuple):
    """A command's import path, and its line in the list of commands.

    Attributes:
        target: `module:attribute`.
        help: the first sentence of the command's own help.
        name: the current name, if this entry is a former one, which is hidden.
    """

    target: str
    help: str = ""
    name: str = ""

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class RootGroup(click.Group):
    """A group that reports a failing store in one sentence and exits cleanly when interrupted.

    Args:
        lazy_commands: name -> command, imported only when it is used, because importing them all takes seconds.
    """

    def __init__(self, *args: Any, lazy_commands: Mapping[str, LazyCommand] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lazy_commands = dict(lazy_commands or {})
        for name, lazy in self.lazy_commands.items():
            self.commands[name] = click.Command(name, short_help=lazy.help, hidden=bool(lazy.name))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; `help COMMAND` is `COMMAND --help`.

        Raises:
            UsageError: one of them is not UTF-8, as no database stores it, and names no file.
        """
        for each in args:
            if escaped(each) != each and not Path(each).exists():
                raise click.UsageError(f"an argument is not UTF-8: {escaped(each)}", ctx)
        return super().parse_args(ctx, [*args[1:], "--help"] if args[:1] == ["help"] else args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed, and import it."""
        name, command, rest = super().resolve_command(ctx, args)
        lazy = self.lazy_commands.get(name or "")
        return name, lazy.load() if lazy else command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            ClickException: a store does not respond, or the operation is impossible.
        """
        try:
            return super().invoke(ctx)
        except click.exceptions.Exit:
            raise
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(EXIT_BROKEN_PIPE)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)
        except click.Abort as abort:  # at a prompt: Ctrl-C, or no terminal to answer from
            ctx.exit(EXIT_INTERRUPTED if isinstance(abort.__context__, KeyboardInterrupt) else 1)
        except Exception as error:
            message = _message(error)
            if message and _was_interrupted(error):
                ctx.exit(EXIT_INTERRUPTED)
            if message is None or isinstance(error, click.ClickException):
                raise
            raise click.ClickException(message) from error


class CommandGroup(click.Group):
    """A group whose help has the first sentence of each command in full; click cuts it off at the terminal's width."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for command in self.commands.values():
            command.short_help = command.short_help or _first_sentence(command.help or "")


def escaped(text: str) -> str:
    """Return a text of the shell with an escape for each byte that is not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def exit_with_unwritable_output(error: OSError) -> NoReturn:
    """Say why the output cannot be written, and exit. Python would try again at its end, and print a traceback.

    Raises:
        OSError: another error.
    """
    if error.errno not in UNWRITABLE or error.filename is not None:
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    with suppress(OSError):
        click.echo(f"Error: the output cannot be written: {error.strerror}", err=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    raise SystemExit(1)


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return paragraph.partition(". ")[0].removesuffix(".") + "."


def _message(error: Exception) -> str | None:
    """Return the sentence that explains an expected error; None if it is a bug."""
    if isinstance(error, click.ClickException):
        return error.format_message()
    from operations.errors import OperationError
    from operations.store_errors import StoreError, store_error_message  # late: imports both stores' drivers

    if isinstance(error, OperationError):
        return str(error)
    return store_error_message(error) if isinstance(error, StoreError) else None


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C caused the error: after an interrupted statement, the database driver rejects the clean-up."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
