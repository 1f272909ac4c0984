"""The pace: how fast a bulk of rows goes, and how it is stopped."""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from runtime.process.stop_signal import StopEvent

EXIT_INTERRUPTED = 130
RATE = re.compile(r"(\d{1,6})/([smh])")
SECONDS = {"s": 1, "m": 60, "h": 3600}


class RateParam(click.ParamType[float]):
    """So many in a time: 50/s, 100/m, 1000/h."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        """To rows per second."""
        if isinstance(value, float):
            return value
        found = RATE.fullmatch(value)
        if not found or not int(found[1]):
            self.fail(f"'{value}' is no rate: write 50/s, 100/m or 1000/h", param, context)
        return int(found[1]) / SECONDS[found[2]]


@contextmanager
def stop_on_interrupt() -> Iterator[StopEvent]:
    """Ctrl-C sets it, so that what is begun can be ended; a second one interrupts."""
    stop = StopEvent()

    def request_stop(*_: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, previous_handler)

    previous_handler = signal.signal(signal.SIGINT, request_stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous_handler)


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], object]]:
    """A bar on the terminal, gone when it is done; nothing where nobody looks.

    Yields:
        What to tell how many more are done.
    """
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda number: bar.advance(task, number)
