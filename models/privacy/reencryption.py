"""Re-encryption: encrypt all that is stored encrypted with the newest key, so that older keys can be removed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import and_, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from models.account import Account
from models.delivery import Delivery
from models.run import Run
from runtime.contention import in_transaction
from runtime.database import Database
from runtime.encryption import BodyCipher, EncryptedBody
from runtime.errors import Transient

BATCH_SIZE = 500


@dataclass
class ReencryptResult:
    """The result of a re-encryption.

    Attributes:
        done: number of bodies re-encrypted.
        api_keys: number of accounts' API keys re-encrypted.
        failed: delivery id, `account NAME` or `run ID` -> why its body, API key or guest was not re-encrypted.
    """

    done: int = 0
    api_keys: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def reencrypt(database: Database, cipher: BodyCipher) -> ReencryptResult:
    """Encrypt all bodies, API keys and guests to erase that do not use the newest key.

    One that cannot be decrypted does not stop the others.
    """
    keys = in_transaction(database, partial(_reencrypt_api_keys, cipher=cipher))
    guests = in_transaction(database, partial(_reencrypt_guests, cipher=cipher))
    is_old = Delivery.sealed_with.is_distinct_from(cipher.newest_key)
    bodies = _reencrypt_bodies(database, is_old, partial(_reencrypt, cipher=cipher))
    return ReencryptResult(bodies.done, keys.api_keys, keys.failed | guests.failed | bodies.failed)


def reencrypt_for_0_1_0(database: Database, cipher: BodyCipher) -> ReencryptResult:
    """Encrypt what release 0.1.0 would have to read as it did: the bodies of deliveries that are pending or dead."""
    is_wanted = and_(Delivery.sealed_with.is_not(None), Delivery.status.in_(["pending", "dead"]))
    return _reencrypt_bodies(database, is_wanted, partial(_reencrypt, cipher=cipher, for_0_1_0=True))


def _reencrypt_bodies(
    database: Database, selected: ColumnElement[bool], reencrypt_page: Callable[..., ReencryptResult]
) -> ReencryptResult:
    """Re-encrypt the selected deliveries that still have a body, page by page."""
    result, after = ReencryptResult(), ""
    while True:
        with database.read_only() as session:
            query = select(Delivery.id).where(selected, Delivery.body != b"", Delivery.id > after)
            ids = session.scalars(query.order_by(Delivery.id).limit(BATCH_SIZE)).all()
        if not ids:
            return result
        page = in_transaction(database, partial(reencrypt_page, ids=ids))
        result.done += page.done
        result.failed |= page.failed
        after = ids[-1]
        database.yield_lock()


def _reencrypt_api_keys(session: Session, cipher: BodyCipher) -> ReencryptResult:
    result = ReencryptResult()
    if cipher.newest_key is None:  # an API key is never stored in plain text
        return result
    is_old = and_(Account.sealed_api_key.is_not(None), Account.sealed_with.is_distinct_from(cipher.newest_key))
    for row in session.scalars(select(Account).where(is_old).order_by(Account.name).with_for_update()):
        try:
            row.set_api_key(row.config(cipher).api_key(), cipher)
        except Transient as error:
            result.failed[f"account {row.name}"] = str(error)
        else:
            result.api_keys += 1
    return result


def _reencrypt_guests(session: Session, cipher: BodyCipher) -> ReencryptResult:
    """Re-encrypt the guests whom unended runs will erase; they are not counted."""
    result = ReencryptResult()
    is_old = and_(Run.encrypted_guest.is_not(None), Run.encrypted_with.is_distinct_from(cipher.newest_key))
    for run in session.scalars(select(Run).where(Run.is_active(), is_old).order_by(Run.id).with_for_update()):
        try:
            encrypted = cipher.encrypt(cipher.decrypt(EncryptedBody(run.encrypted_guest or b"", run.encrypted_with)))
        except Transient as error:
            result.failed[f"run {run.id}"] = str(error)
        else:
            run.encrypted_guest, run.encrypted_with = encrypted.content, encrypted.key
    return result


def _reencrypt(session: Session, cipher: BodyCipher, ids: Sequence[str], *, for_0_1_0: bool = False) -> ReencryptResult:
    page, encrypt = ReencryptResult(), cipher.encrypt_for_0_1_0 if for_0_1_0 else cipher.encrypt
    for row in Delivery.get_for_update(session, ids):
        if not row.body or (row.sealed_with == cipher.newest_key and not for_0_1_0):
            continue
        try:
            encrypted = encrypt(cipher.decrypt(row.encrypted_body))
        except Transient as error:
            page.failed[row.id] = str(error)
            continue
        row.body, row.sealed_with = encrypted.content, encrypted.key
        page.done += 1
    return page
