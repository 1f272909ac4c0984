"""A thread pool for an event loop. The standard library's executor would make a delivery cost a third more."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from runtime.logs import log_unhandled_exception

T = TypeVar("T")


class ThreadPool:
    """Runs calls in first-in, first-out order, as many at once as there are threads.

    Args:
        name: prefix of the threads' names.
        count: number of threads.
    """

    def __init__(self, name: str, count: int) -> None:
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._resolved: deque[tuple[asyncio.Future[Any], Any]] = deque()
        self._is_wake_up_scheduled = False
        self._threads = [Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, call: Callable[[], object]) -> None:
        """Queue a call without waiting for its result."""
        self._calls.put(call)

    async def run(self, call: Callable[..., T], *arguments: object) -> T:
        """Run a call in a thread; return its result or raise its exception."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.submit(partial(self._run, future, call, arguments))
        return await future

    def resolve(self, future: "asyncio.Future[T]", result: "T | Exception") -> None:
        """Set a future's result or exception, from any thread. One wake-up of the loop resolves many futures."""
        self._resolved.append((future, result))
        if not self._is_wake_up_scheduled:
            self._is_wake_up_scheduled = True
            future.get_loop().call_soon_threadsafe(self._resolve_all)

    def close(self) -> None:
        """Finish all queued calls and join the threads."""
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

    def _run(self, future: "asyncio.Future[Any]", call: Callable[..., Any], arguments: tuple[object, ...]) -> None:
        try:
            result = call(*arguments)
        except Exception as error:
            result = error
        self.resolve(future, result)

    def _resolve_all(self) -> None:
        self._is_wake_up_scheduled = False  # cleared first, so that a later `resolve` schedules again
        while self._resolved:
            future, result = self._resolved.popleft()
            if future.done():  # cancelled
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
