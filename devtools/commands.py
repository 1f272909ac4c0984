"""The commands `run` and `demo`. They import what they run when they are called."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click


@click.command()
def demo() -> None:
    """Run a short demo from webhook to notification, on its own servers."""
    from devtools.forked import start_fork_server

    start_fork_server()  # first: it imports for receiver, worker and scheduler while we import for the rest

    from rich.console import Console

    from devtools.demo import command

    with _report_errors():
        sys.exit(0 if command.run_demo(Console()) else 1)


@click.command()
def run() -> None:
    """Run receiver, worker, scheduler and dashboard until Ctrl-C, with a private Redis if REDIS_URL is unset."""
    from devtools import run

    with _report_errors():
        sys.exit(run.run(Path.cwd()))


@contextmanager
def _report_errors() -> Iterator[None]:
    from devtools.processes import ProcessFailed
    from devtools.redis_server import NoRedisServer

    try:
        yield
    except (NoRedisServer, ProcessFailed) as error:
        raise click.ClickException(str(error)) from error
