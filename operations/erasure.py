"""Erase one guest, identified by e-mail address, phone number or name."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime

from models.erasure import ErasureResult, PersonMatches, erase, find, vacuum
from models.person import Details, Person, identities, person_from
from models.run import Run
from operations.errors import OperationError
from operations.text import printable
from runtime.database import Database
from runtime.encryption import BodyCipher

UNREACHED = ("waiting", "unopened", "skipped")
"""Kinds of rows that an erasure counts but does not change."""


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
    found = find(database, cipher, person, account=None)
    if not found.has_matches:
        raise OperationError("nobody with this address, number or name is known")
    refuse_several(person, found)
    return found


def reason_without_guest(reason: str, person: Person, found: PersonMatches) -> str:
    """Return an operator's reason without the guest, whom it may name in other words than those that found them."""
    guests = [person.other_identities, *map(identities, found.guests)]
    emails, phones, names = (frozenset[str]().union(*each) for each in zip(*guests, strict=True))
    return str(replace(person, other_identities=(emails, phones, names)).redact(reason))


def refuse_several(person: Person, found: PersonMatches) -> None:
    """Reject a name without a contact if it matches several people.

    Raises:
        OperationError: it matches several.
    """
    by_name = not (person.emails or person.phones)
    contacts = {frozenset(identities(each)[0] or identities(each)[1]) for each in found.guests}
    if by_name and len(contacts) > 1:
        known = "; ".join(sorted(describe_guest(each) for each in found.guests))
        raise OperationError(f"several guests have this name: {known}. Give the address, or --phone")


def erase_guest(database: Database, cipher: BodyCipher, guest: GuestName, now: datetime) -> dict[str, int]:
    """Erase a guest.

    Returns:
        Kind of rows -> number.
    """
    erased: ErasureResult = erase(database, cipher, guest.person(), now)
    vacuum(database)
    counts = {name: value for name, value in asdict(erased).items() if isinstance(value, int) and value}
    return counts | ({"skipped": len(erased.skipped)} if erased.skipped else {})


def unreached(run: Run) -> int:
    """Return how many rows an erasure did not reach; 0 for a run of another kind."""
    return sum(run.outcome.get(name, 0) for name in UNREACHED) if run.kind == "erase" else 0


def describe_guest(details: Details) -> str:
    """Format a guest's name and contacts, for operators who may see personal data."""
    name = details.get("fullname") or f"{details.get('firstname') or ''} {details.get('lastname') or ''}".strip()
    contacts = " ".join(str(details[each]) for each in ("email", "phone") if details.get(each))
    return printable(f"{name} <{contacts}>" if name and contacts else str(name or contacts or "a guest without a name"))
