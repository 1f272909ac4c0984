"""The root command group, and the exit codes of its errors."""

import os
import sys
from typing import Any

import click

from operations.errors import OperationError, StoreError, store_error_message

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
"""The shell's exit code for a program killed by SIGPIPE."""


class RootGroup(click.Group):
    """A group that reports a failing store in one sentence and exits cleanly when interrupted."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            ClickException: a store does not respond, or the operation is impossible.
        """
        try:
            return super().invoke(ctx)
        except (OperationError, *StoreError, click.ClickException) as error:
            if _was_interrupted(error):
                ctx.exit(EXIT_INTERRUPTED)
            if isinstance(error, click.ClickException):
                raise
            message = str(error) if isinstance(error, OperationError) else store_error_message(error)
            raise click.ClickException(message) from error
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(EXIT_BROKEN_PIPE)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)
        except click.Abort as abort:  # at a prompt: Ctrl-C, or no terminal to answer from
            ctx.exit(EXIT_INTERRUPTED if isinstance(abort.__context__, KeyboardInterrupt) else 1)


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C came first: a database refuses what the cleanup sends after an interrupted statement."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
