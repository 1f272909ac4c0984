"""Group commit: letters that wait together share one transaction, and so one write to the disk."""

import asyncio
from collections.abc import Callable, Sequence
from threading import Lock

from models.delivery import NewDelivery
from receiver.threads import Threads


class GroupCommit:
    """Whoever finds nobody at it stores what waits, at once. Who comes meanwhile waits for the next turn.

    Nobody waits to make a group larger: one delivery alone is as quick as without.

    Args:
        store: keeps letters in one transaction; says whether it did, and never raises.
    """

    def __init__(self, store: Callable[[Sequence[NewDelivery]], bool]) -> None:
        self._store = store
        self._lock = Lock()
        self._waiting: list[_Seat | _LoopSeat] = []
        self._is_underway = False

    def keep(self, letter: NewDelivery) -> bool:
        """Returns when the letter was stored with its group, or could not be.

        Returns:
            Whether it was.
        """
        seat = _Seat(letter)
        if not self._leads(seat):
            seat.call.acquire()
        return self._lead() if seat.is_kept is None else seat.is_kept

    async def keep_in(self, threads: Threads, letter: NewDelivery) -> bool:
        """The same from an event loop: one of these threads stores the group."""
        seat = _LoopSeat(letter, threads, self._lead)
        if self._leads(seat):
            seat.lead()
        return await seat.end

    def _leads(self, seat: "_Seat | _LoopSeat") -> bool:
        with self._lock:
            self._waiting.append(seat)
            leads, self._is_underway = not self._is_underway, True
        return leads

    def _lead(self) -> bool:
        """Stores who waits now, and hands over to the first who came meanwhile."""
        with self._lock:
            group, self._waiting = self._waiting, []
        is_kept = False
        try:
            is_kept = self._store([seat.letter for seat in group])
        finally:
            self._hand_over()
            for seat in group:
                seat.settle(is_kept)
        return is_kept

    def _hand_over(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting[0].lead()
            else:
                self._is_underway = False


class _Seat:
    """One letter's place, where its thread waits to be called."""

    def __init__(self, letter: NewDelivery) -> None:
        self.letter = letter
        self.call = Lock()
        self.call.acquire()
        self.is_kept: bool | None = None

    def lead(self) -> None:
        """Its thread stores the next group."""
        self.call.release()

    def settle(self, is_kept: bool) -> None:
        """Its thread goes on."""
        self.is_kept = is_kept
        self.call.release()


class _LoopSeat:
    """One letter's place, for which no thread waits."""

    def __init__(self, letter: NewDelivery, threads: Threads, lead: Callable[[], object]) -> None:
        self.letter = letter
        self.end: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._threads = threads
        self._lead = lead

    def lead(self) -> None:
        """One of the threads stores the next group."""
        self._threads.post(self._lead)

    def settle(self, is_kept: bool) -> None:
        """The loop goes on."""
        self._threads.settle(self.end, is_kept)
