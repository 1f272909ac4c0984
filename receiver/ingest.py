"""The door: store what the gate admitted, and ring. It judges the carrier, not the letter."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog

from models.delivery import Delivery, NewDelivery
from receiver.auth import AuthenticatedRequest
from receiver.group_commit import GroupCommit
from receiver.ringer import DebouncedTrigger
from receiver.threads import Threads
from runtime.cooldown import Cooldown
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.queue import JobQueue

NOTED_EVERY = timedelta(minutes=1)
NEVER = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger()


class Ingest:
    """What the door needs: the database, the bell, and the vault that seals what is kept."""

    def __init__(self, database: Database, bell: JobQueue, vault: BodyCipher) -> None:
        self.database = database
        self.bell = bell
        self._vault = vault
        self._group = GroupCommit(self._store)
        self._ringer = DebouncedTrigger(bell, "inbox")
        self._respite = Cooldown()
        self._noted: dict[str, datetime] = {}

    def accept(self, admitted: AuthenticatedRequest, now: datetime) -> str:
        """Keeps a body, in the database or else in the queue.

        Returns:
            The delivery's id.

        Raises:
            RedisError: nothing can keep it.
        """
        letter = NewDelivery.of(admitted.body, admitted.account, now, self._vault)
        self._finish(letter, self._group.keep(letter), admitted.mark, now)
        return letter.id

    async def accept_in(self, threads: Threads, admitted: AuthenticatedRequest, now: datetime) -> str:
        """The same from an event loop: the stores are waited for in these threads."""
        letter = NewDelivery.of(admitted.body, admitted.account, now, self._vault)
        is_kept = await self._group.keep_in(threads, letter)
        if not is_kept or self._is_to_be_noted(admitted.mark, now):
            await threads.run(self._finish, letter, is_kept, admitted.mark, now)
        return letter.id

    def close(self) -> None:
        """Rings if that is still owed, and closes what it holds."""
        self._ringer.settle()
        self.database.close()
        self.bell.redis.close()

    def _finish(self, letter: NewDelivery, is_kept: bool, mark: str | None, now: datetime) -> None:
        if not is_kept:
            self.bell.carry(letter)
            log.warning("delivery.carried", delivery_id=letter.id)
        if mark and self._is_to_be_noted(mark, now):
            self._noted[mark] = now
            self.bell.note_arrival(mark, now)

    def _is_to_be_noted(self, mark: str | None, now: datetime) -> bool:
        return mark is not None and now - self._noted.get(mark, NEVER) >= NOTED_EVERY

    def _store(self, letters: Sequence[NewDelivery]) -> bool:
        """Commit first, ring after."""
        if self._commit(letters):
            self._ringer.ring()
            return True
        return False

    def _commit(self, letters: Sequence[NewDelivery]) -> bool:
        """The first try may meet a connection that died since; a second one opens a new one."""
        if self._respite.is_on:
            return False
        for attempt in (1, 2):
            try:
                with self.database.plain_transaction() as connection:
                    Delivery.accept(connection, letters)
                return True
            except Exception as error:  # whatever it is, Redis can still keep the delivery
                if attempt == 2 or not getattr(error, "connection_invalidated", False):
                    log.error("database.away", error=type(error).__name__)
                    self._respite.begin()
                    return False
        return False
