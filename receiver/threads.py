"""Threads that work for an event loop. An executor of the standard library would cost a delivery a third more."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from receiver.breakage import log_unhandled_exception

T = TypeVar("T")


class Threads:
    """Runs calls, in the order in which they come, as many at once as there are threads.

    Args:
        name: of the threads.
        count: how many.
    """

    def __init__(self, name: str, count: int) -> None:
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._ends: deque[tuple[asyncio.Future[Any], Any]] = deque()
        self._is_loop_told = False
        self._threads = [Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def post(self, call: Callable[[], object]) -> None:
        """A thread will do it, and nobody waits."""
        self._calls.put(call)

    async def run(self, call: Callable[..., T], *arguments: object) -> T:
        """Returns when a thread has done it, and raises what it raised."""
        end: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.post(partial(self._run, end, call, arguments))
        return await end

    def settle(self, end: "asyncio.Future[T]", result: "T | Exception") -> None:
        """Gives a future its result, or lets it raise, from any thread. The loop is woken once for many of them."""
        self._ends.append((end, result))
        if not self._is_loop_told:
            self._is_loop_told = True
            end.get_loop().call_soon_threadsafe(self._settle)

    def close(self) -> None:
        """Waits for what was begun."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except Exception as error:
                log_unhandled_exception(error)

    def _run(self, end: "asyncio.Future[Any]", call: Callable[..., Any], arguments: tuple[object, ...]) -> None:
        try:
            result = call(*arguments)
        except Exception as error:
            result = error
        self.settle(end, result)

    def _settle(self) -> None:
        self._is_loop_told = False  # first: whoever settles from now on tells again
        while self._ends:
            end, result = self._ends.popleft()
            if end.done():  # cancelled
                continue
            if isinstance(result, Exception):
                end.set_exception(result)
            else:
                end.set_result(result)
