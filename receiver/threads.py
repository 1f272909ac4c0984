"""Threads that work for an event loop. An executor of the standard library would cost a delivery a third more."""

import asyncio
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

Call = tuple["asyncio.Future[None]", Callable[..., None], tuple[object, ...]]


class Threads:
    """Runs calls, in the order in which they come, as many at once as there are threads.

    Args:
        name: of the threads.
        count: how many.
    """

    def __init__(self, name: str, count: int) -> None:
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._ended: deque[tuple[asyncio.Future[None], BaseException | None]] = deque()
        self._is_loop_told = False
        self._threads = [Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(count)]
        for thread in self._threads:
            thread.start()

    async def run(self, call: Callable[..., None], *arguments: object) -> None:
        """Returns when a thread has done it, and raises what it raised."""
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._calls.put((end, call, arguments))
        await end

    def close(self) -> None:
        """Waits for what was begun."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (job := self._calls.get()) is not None:
            end, call, arguments = job
            error = None
            try:
                call(*arguments)
            except BaseException as raised:
                error = raised
            self._ended.append((end, error))
            self._tell(end.get_loop())

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wakes the loop once for all that ended until it looks."""
        if not self._is_loop_told:
            self._is_loop_told = True
            loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._is_loop_told = False  # first: whoever ends from now on tells again
        while self._ended:
            end, error = self._ended.popleft()
            if end.done():  # cancelled
                continue
            if error:
                end.set_exception(error)
            else:
                end.set_result(None)
