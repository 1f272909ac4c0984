"""Erase one guest, identified by e-mail address, phone number or name."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from models.privacy.erasure import ErasureResult, erase, vacuum
from models.privacy.person import Details, Identities, Person, identities, person_from
from models.privacy.person_search import PersonMatches, find_person
from models.run import Run
from operations.errors import OperationError
from operations.text import printable
from runtime.database import Database
from runtime.encryption import BodyCipher

if TYPE_CHECKING:
    from redis import Redis

UNREACHED = ("waiting", "unopened", "skipped")
"""Kinds of rows that an erasure counts but does not change."""
COPIES = ("redis_only", "redis_down", "old_copies")
"""Where else copies may be: webhooks that only Redis has, the same while it is down, and SQLite's file."""


@dataclass(frozen=True)
class GuestName:
    """A guest as identified by an operator; at least one attribute is not empty.

    Attributes:
        email: the e-mail address.
        phone: the phone number, in any notation.
        name: the full name.
    """

    email: str = ""
    phone: str = ""
    name: str = ""

    def person(self) -> Person:
        """Return the person to look for.

        Raises:
            OperationError: nothing is given, or it is malformed.
        """
        try:
            person = person_from(self.email, self.phone, self.name)
        except ValueError as error:
            raise OperationError(str(error)) from None
        if person == Person():
            raise OperationError("name the guest: an e-mail address, a phone number or a name")
        return person


def find_guest(database: Database, cipher: BodyCipher, guest: GuestName) -> PersonMatches:
    """Find all data about one guest. Reads and decrypts all bodies.

    Raises:
        OperationError: nobody matches, or several people do.
    """
    person = guest.person()
    found = find_person(database, cipher, person, account=None)
    if not found.has_matches:
        raise OperationError("nobody with this address, number or name is known")
    refuse_several(person, found)
    return found


def reason_without_guest(reason: str, person: Person, found: PersonMatches) -> str:
    """Return an operator's reason without the guest, whom it may name in other words than those that found them."""
    all_of_guest = Identities.union([person.other_identities, *map(identities, found.guests)])
    return str(replace(person, other_identities=all_of_guest).redact(reason))


def refuse_several(person: Person, found: PersonMatches) -> None:
    """Reject a name without a contact if it matches several people.

    Raises:
        OperationError: it matches several.
    """
    by_name = not (person.emails or person.phones)
    contacts = {frozenset(identities(each).emails or identities(each).phones) for each in found.guests}
    if by_name and len(contacts) > 1:
        known = "; ".join(sorted(describe_guest(each) for each in found.guests))
        raise OperationError(f"several guests have this name: {known}. Give the address, or --phone")


def erase_guest(
    database: Database, cipher: BodyCipher, guest: GuestName, redis: "Redis", now: datetime
) -> dict[str, int]:
    """Erase a guest.

    Returns:
        Kind of rows, or of `COPIES` -> number.
    """
    copies = _in_redis_only(redis)  # first: what is stored meanwhile may be missed by the search
    erased: ErasureResult = erase(database, cipher, guest.person(), now)
    counts = {name: value for name, value in asdict(erased).items() if isinstance(value, int)}
    counts |= {"skipped": len(erased.skipped), **copies, "old_copies": int(not vacuum(database))}
    return {name: value for name, value in counts.items() if value}


def _in_redis_only(redis: "Redis") -> dict[str, int]:
    from redis.exceptions import RedisError  # late: commands that only list runs need no Redis

    from runtime.redis import deferred_deliveries

    try:
        return {"redis_only": deferred_deliveries.read(redis).count}
    except RedisError:
        return {"redis_down": 1}


def unreached(run: Run) -> dict[str, int]:
    """Return what an erasure did not reach: `rows`, and each of `COPIES`; empty for a run of another kind."""
    if run.kind != "erase":
        return {}
    rows = sum(run.outcome.get(name, 0) for name in UNREACHED)
    found = {"rows": rows, **{name: run.outcome.get(name, 0) for name in COPIES}}
    return {name: number for name, number in found.items() if number}


def describe_guest(details: Details) -> str:
    """Format a guest's name and contacts, for operators who may see personal data."""
    name = details.get("fullname") or f"{details.get('firstname') or ''} {details.get('lastname') or ''}".strip()
    contacts = " ".join(str(details[each]) for each in ("email", "phone") if details.get(each))
    return printable(f"{name} <{contacts}>" if name and contacts else str(name or contacts or "a guest without a name"))
