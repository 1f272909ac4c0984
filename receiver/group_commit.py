"""Group commit: letters that wait together share one transaction, and so one write to the disk."""

from collections.abc import Callable, Sequence
from threading import Lock

from models.delivery import Letter


class GroupCommit:
    """Whoever finds nobody at it stores what waits, at once. Who comes meanwhile waits for the next turn.

    Nobody waits to make a group larger: one delivery alone is as quick as without.

    Args:
        store: keeps letters in one transaction; says whether it did, and never raises.
    """

    def __init__(self, store: Callable[[Sequence[Letter]], bool]) -> None:
        self._store = store
        self._lock = Lock()
        self._waiting: list[_Seat] = []
        self._is_underway = False

    def keep(self, letter: Letter) -> bool:
        """Returns when the letter was stored with its group, or could not be.

        Returns:
            Whether it was.
        """
        seat = _Seat(letter)
        with self._lock:
            self._waiting.append(seat)
            leads, self._is_underway = not self._is_underway, True
        if not leads:
            seat.call.acquire()
        return self._lead() if seat.is_kept is None else seat.is_kept

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
                seat.is_kept = is_kept
                seat.call.release()
        return is_kept

    def _hand_over(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting[0].call.release()
            else:
                self._is_underway = False


class _Seat:
    """One letter's place, where its thread waits to be called."""

    def __init__(self, letter: Letter) -> None:
        self.letter = letter
        self.call = Lock()
        self.call.acquire()
        self.is_kept: bool | None = None
