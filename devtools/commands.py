"""The development commands, available where this package is installed; the image does not contain it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from devtools import run
from devtools.demo import command
from devtools.processes import ProcessFailed
from devtools.redis_server import NoRedisServer
from devtools.sandbox_command import sandbox
from devtools.send.command import send


@click.command("demo")
def demo_command() -> None:
    """Run a short demo from webhook to notification, on its own servers."""
    with _report_errors():
        sys.exit(0 if command.run_demo(Console()) else 1)


@click.command("run")
def run_command() -> None:
    """Run receiver, worker and scheduler until Ctrl-C, with a private Redis if REDIS_URL is unset."""
    with _report_errors():
        sys.exit(run.run(Path.cwd()))


@contextmanager
def _report_errors() -> Iterator[None]:
    try:
        yield
    except (NoRedisServer, ProcessFailed) as error:
        raise click.ClickException(str(error)) from error


COMMANDS = [send, sandbox, run_command, demo_command]
