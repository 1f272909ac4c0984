"""The door: store what the gate admitted, ring, acknowledge. It judges the carrier, not the letter."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog
from flask import Blueprint, Response, abort, current_app, request
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from meetergo.address import WEBHOOK_PATH
from models.database import Database
from models.delivery import Delivery, Letter
from models.queue import Bell
from models.respite import Respite
from models.vault import Vault
from receiver.answers import answer, refusal
from receiver.gate import ADMITTED, Admitted
from receiver.group_commit import GroupCommit
from receiver.ringer import Ringer

COME_BACK_AFTER = timedelta(seconds=30)
NOTED_EVERY = timedelta(minutes=1)
NEVER = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger()


class Door:
    """What the door needs: the database, the bell, and the vault that seals what is kept."""

    def __init__(self, database: Database, bell: Bell, vault: Vault) -> None:
        self.database = database
        self.bell = bell
        self._vault = vault
        self._group = GroupCommit(self._store)
        self._ringer = Ringer(bell, "inbox")
        self._respite = Respite()
        self._noted: dict[str, datetime] = {}

    def accept(self, admitted: Admitted, now: datetime) -> str:
        """Keeps a body, in the database or else in the queue.

        Returns:
            The delivery's id.

        Raises:
            RedisError: nothing can keep it.
        """
        letter = Letter.of(admitted.body, admitted.account, now, self._vault)
        if not self._group.keep(letter):
            self.bell.carry(letter)
            log.warning("delivery.carried", delivery_id=letter.id)
        self._note_arrival(admitted.mark, now)
        return letter.id

    def _note_arrival(self, mark: str | None, now: datetime) -> None:
        if mark and now - self._noted.get(mark, NEVER) >= NOTED_EVERY:
            self._noted[mark] = now
            self.bell.note_arrival(mark, now)

    def _store(self, letters: Sequence[Letter]) -> bool:
        """Commit first, ring after."""
        if self._commit(letters):
            self._ringer.ring()
            return True
        return False

    def _commit(self, letters: Sequence[Letter]) -> bool:
        """The first try may meet a connection that died since; a second one opens a new one."""
        if self._respite.is_on:
            return False
        for attempt in (1, 2):
            try:
                with self.database.transaction() as session:
                    Delivery.accept(session, letters)
                return True
            except SQLAlchemyError as error:
                if attempt == 2 or not getattr(error, "connection_invalidated", False):
                    log.error("database.away", error=type(error).__name__)
                    self._respite.begin()
                    return False
        return False


blueprint = Blueprint("door", __name__)


@blueprint.post(WEBHOOK_PATH, provide_automatic_options=False)
@blueprint.post(f"{WEBHOOK_PATH}/<token>", provide_automatic_options=False)
def webhook(token: str = "") -> Response:
    """Accepts a delivery. 200, exactly: the provider documents no other success."""
    door: Door = current_app.extensions["door"]
    if ADMITTED not in request.environ:  # Flask forgives a second leading slash, the gate does not
        abort(404)
    try:
        delivery_id = door.accept(request.environ[ADMITTED], datetime.now(UTC))
    except RedisError:
        retry = {"Retry-After": str(int(COME_BACK_AFTER.total_seconds()))}
        return refusal(503, "nothing can keep this now, come back later", retry)
    log.info("delivery.accepted", delivery_id=delivery_id)
    return answer(200, {"status": "accepted", "delivery": delivery_id}, {"X-Delivery-Id": delivery_id})
