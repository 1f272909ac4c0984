"""Reencryption: every stored body gets the newest key, so that the older ones can go."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from models.delivery import Delivery
from runtime.contention import in_transaction
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.errors import Transient

AT_ONCE = 500


@dataclass
class Reencrypted:
    """What became of the bodies.

    Attributes:
        done: how many have the newest key now.
        failed: delivery id -> why its body stays as it is.
    """

    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def reencrypt(database: Database, vault: BodyCipher) -> Reencrypted:
    """Encrypts all bodies that do not have the newest key yet. One that cannot be opened does not stop the others."""
    result, after = Reencrypted(), ""
    is_old = and_(Delivery.sealed_with.is_distinct_from(vault.newest), Delivery.body != b"")
    while True:
        with database.reading() as session:
            query = select(Delivery.id).where(is_old, Delivery.id > after)
            ids = session.scalars(query.order_by(Delivery.id).limit(AT_ONCE)).all()
        if not ids:
            return result
        page = in_transaction(database, partial(_reencrypt, vault=vault, ids=ids))
        result.done += page.done
        result.failed |= page.failed
        after = ids[-1]
        database.give_way()


def _reencrypt(session: Session, vault: BodyCipher, ids: Sequence[str]) -> Reencrypted:
    page = Reencrypted()
    for row in Delivery.locked(session, ids):
        if not row.body or row.sealed_with == vault.newest:
            continue
        try:
            sealed = vault.seal(vault.open(row.sealed))
        except Transient as error:
            page.failed[row.id] = str(error)
            continue
        row.body, row.sealed_with = sealed.content, sealed.key
        page.done += 1
    return page
