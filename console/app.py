"""The desk: all commands under one name, and what their errors come to."""

import os
import sys
from typing import Any

import click

from operations.errors import OperationError, StoreError, store_error_message

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
"""What a shell makes of a program that wrote into a pipe without a reader."""


class RootGroup(click.Group):
    """A group that says in a sentence which store does not answer, and does not mind being interrupted."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command.

        Raises:
            ClickException: a store does not answer.
        """
        try:
            return super().invoke(ctx)
        except OperationError as error:
            raise click.ClickException(str(error)) from error
        except StoreError as error:
            raise click.ClickException(store_error_message(error)) from error
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(EXIT_BROKEN_PIPE)
        except KeyboardInterrupt:
            ctx.exit(EXIT_INTERRUPTED)
        except click.Abort as abort:  # at a question: Ctrl-C, or nobody there to answer
            ctx.exit(EXIT_INTERRUPTED if isinstance(abort.__context__, KeyboardInterrupt) else 1)
