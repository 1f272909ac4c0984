"""Rate limit, progress bar and graceful Ctrl-C of bulk commands."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

    from runtime.process.stop_signal import StopEvent


class RateParam(click.ParamType[float]):
    """A rate: 50/s, 100/m, 1000/h."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        """Convert to rows per second."""
        from operations.filters import InvalidFilter, parse_rate

        if isinstance(value, float):
            return value
        try:
            return parse_rate(value)
        except InvalidFilter as error:
            self.fail(str(error), param, context)


@contextmanager
def stop_on_interrupt() -> Iterator[StopEvent]:
    """Yield an event that Ctrl-C sets, so that work in progress can finish; a second Ctrl-C interrupts."""
    from runtime.process.stop_signal import StopEvent

    stop = StopEvent()

    def request_stop(*_: Any) -> None:
        stop.set()
        signal.signal(signal.SIGINT, previous_handler)

    previous_handler = signal.signal(signal.SIGINT, request_stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous_handler)


def open_bar() -> Progress:
    """Return progress bars, which a terminal shows on standard error until they end; nothing is shown elsewhere."""
    # Late: lists and `status` start without it.
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], object]]:
    """Show a progress bar, and yield a function to call with the number of newly finished items."""
    with open_bar() as bar:
        task = bar.add_task(title, total=total)
        yield lambda number: bar.advance(task, number)
