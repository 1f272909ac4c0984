"""Guests: who in one list of attendees is the same person as in another, with or without a stable id.

A key names a guest of one booking. It holds what tells people apart: the id and the e-mail, or without an id the
e-mail and the name, or the name and the phone. Two people with one address are two keys. A guest who gains or loses
the id has another key that is `linked` to the first.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple
from unicodedata import normalize

Person = Mapping[str, Any]
"""What is known of a guest: `id`, `email`, `fullname`, `phone`, ..."""

MAX_PART_LENGTH = 255
MAX_CANDIDATES = 16
"""Maximum number of candidates for one guest. If more people share an address, none of them is matched."""


class Identity(NamedTuple):
    """What tells a guest apart; empty where it is not known."""

    id: str = ""
    email: str = ""
    name: str = ""
    phone: str = ""

    @classmethod
    def of(cls, person: Person) -> "Identity":
        """Return the identity of a person, with everything that is known."""
        name = person.get("fullname") or f"{person.get('firstname') or ''} {person.get('lastname') or ''}"
        return cls(
            str(person.get("id") or ""),
            _address(person.get("email")),
            _normalised(name),
            "".join(filter(str.isalnum, str(person.get("phone") or "")))[:MAX_PART_LENGTH],
        )

    @classmethod
    def parse(cls, key: str) -> "Identity":
        """Parse a key. Keys of older versions are an id, or an e-mail as it was written."""
        if "\n" in key:
            return cls(*key.split("\n")[:4])
        return cls(email=_normalised(key)) if "@" in key else cls(key)

    @property
    def key(self) -> str:
        """The key of a guest; empty if nothing tells this one apart."""
        if self.id:
            guest_id = _one_line(self.id)
            return f"{guest_id}\n{self.email}" if self.email or "@" in guest_id else guest_id
        return "\n".join(("", self.email, self.name, "" if self.email else self.phone)) if any(self) else ""


def key_of(person: Person) -> str:
    """Return the key of a guest; a digest of all fields if nothing tells the guest apart."""
    if person.get("id"):
        return Identity(str(person["id"]), _address(person.get("email"))).key
    return Identity.of(person).key or sha256(repr(sorted(person.items())).encode("utf-8", "replace")).hexdigest()[:16]


def shared_ids(people: Sequence[Person]) -> set[str]:
    """Return the ids that a list gives to people who differ in name or address: such an id identifies nobody."""
    guests = [Identity.of(person) for person in people if person.get("id")]
    if len({guest.id for guest in guests}) == len(guests):
        return set()
    holders: dict[tuple[str, str], set[str]] = {}
    for guest in guests:
        holders.setdefault((guest.id, "name"), set()).add(guest.name)
        holders.setdefault((guest.id, "email"), set()).add(guest.email)
    return {guest_id for (guest_id, _), values in holders.items() if len(values - {""}) > 1}


def listed_identifiers(keys: Iterable[str]) -> set[str]:
    """Return the identifiers in a list of guests; see `matching_identifiers`."""
    identifiers: set[str] = set()
    for key in keys:
        guest = Identity.parse(key)
        if guest.id:
            identifiers.add(f"id {guest.id}")
            if guest.email:
                identifiers.add(f"id+email {guest.email}")
        elif guest.email:
            identifiers |= {f"email {guest.email}", f"email {guest.email}\n{guest.name}"}
        elif guest.phone:
            identifiers |= {f"phone {guest.phone}", f"phone {guest.phone}\n{guest.name}"}
        else:
            identifiers.add(f"name {guest.name}")
    return identifiers


def matching_identifiers(key: str) -> tuple[str, ...]:
    """Return the identifiers that show, each alone, that a list holds this guest, perhaps under another key."""
    guest = Identity.parse(key)
    if guest.id:
        return (f"id {guest.id}", f"email {guest.email}") if guest.email else (f"id {guest.id}",)
    if guest.email:
        any_name = f"email {guest.email}\n" if guest.name else f"email {guest.email}"
        return any_name, f"email {guest.email}\n{guest.name}", f"id+email {guest.email}"
    if guest.phone:
        any_name = f"phone {guest.phone}\n" if guest.name else f"phone {guest.phone}"
        return any_name, f"phone {guest.phone}\n{guest.name}"
    return (f"name {guest.name}",)


def match_guests(listed: Mapping[str, Person], others: Mapping[str, Person]) -> dict[str, list[str]]:
    """Find the guests of a list under other keys in other lists.

    Args:
        listed: key -> guest.
        others: key -> guest, of keys that are not listed.

    Returns:
        Key of a listed guest -> keys of others who are that person and no one else.
    """
    by_id: dict[str, list[str]] = {}
    by_contact: dict[str, list[str]] = {}
    known = {key: _merged_identity(key, person) for key, person in {**listed, **others}.items()}
    for key in listed:
        guest = known[key]
        by_id.setdefault(guest.id, []).append(key)
        by_contact.setdefault(_contact(guest), []).append(key)
    found: dict[str, list[str]] = {}
    for key in others:
        other = known[key]
        candidates = by_id.get(other.id, []) if other.id else []
        if not candidates and _contact(other):
            contact = by_contact.get(_contact(other), [])[:MAX_CANDIDATES]
            candidates = [each for each in contact if not _differ(other, known[each], "id", "name", "email")]
        if len(candidates) == 1:
            found.setdefault(candidates[0], []).append(key)
    return {key: own for key, own in found.items() if _is_one_person(known[key], [known[each] for each in own])}


def _is_one_person(guest: Identity, others: Sequence[Identity]) -> bool:
    """Whether the keys are one person. Two people who shared the address of a nameless guest are ambiguous."""
    return bool(guest.id) or len({other.name for other in others if other.name} | {guest.name} - {""}) <= 1


def _contact(guest: Identity) -> str:
    return guest.email or guest.phone or guest.name


def _merged_identity(key: str, person: Person) -> Identity:
    from_key, known = Identity.parse(key), Identity.of(person)
    return Identity(*(first or second for first, second in zip(from_key, known, strict=True)))


def departed(before: Sequence[Person], after: Sequence[Person]) -> list[Person]:
    """Return the guests who have left.

    A guest who cannot be distinguished from a new one counts as present, so that no departure is reported in error.
    """
    if not before:
        return []
    here = [Identity.of(person) for person in after]
    gone = [(person, Identity.of(person)) for person in before]
    for key, conflicts in PASSES:
        waiting: dict[Any, list[Identity]] = {}
        for guest in here:
            waiting.setdefault(key(guest), []).append(guest)
        still_gone, matched = [], set[int]()
        for person, guest in gone:
            candidates = waiting.get(key(guest), []) if any(key(guest) or ("",)) else []
            match = next(
                (n for n, other in enumerate(candidates[:MAX_CANDIDATES]) if not conflicts(guest, other)), None
            )
            if match is None:
                still_gone.append((person, guest))
            else:
                matched.add(id(candidates.pop(match)))
        here = [guest for guest in here if id(guest) not in matched]
        gone = still_gone
        if not gone:
            break
    for guest in here[:MAX_CANDIDATES]:
        indistinguishable = next((n for n, (_, other) in enumerate(gone) if not _are_comparable(guest, other)), None)
        if indistinguishable is not None:
            del gone[indistinguishable]
    return [person for person, _ in gone]


def _differ(one: Identity, other: Identity, *names: str) -> bool:
    """Whether any of these is known of both, and differs."""
    pairs = ((getattr(one, name), getattr(other, name)) for name in names)
    return any(mine and theirs and mine != theirs for mine, theirs in pairs)


def _are_comparable(one: Identity, other: Identity) -> bool:
    """Whether any field is known of both."""
    return any(mine and theirs for mine, theirs in zip(one, other, strict=True))


def _are_two_people(one: Identity, other: Identity) -> bool:
    """Whether both id and name differ: two people share an address or a phone."""
    return _differ(one, other, "id") and _differ(one, other, "name")


Pass = tuple[Callable[[Identity], tuple[str, ...]], Callable[[Identity, Identity], bool]]
PASSES: Sequence[Pass] = (
    (lambda guest: (guest.id,), lambda _one, _other: False),
    (lambda guest: (guest.email, guest.name) if guest.email else (), lambda _one, _other: False),
    (lambda guest: (guest.email,), lambda one, other: _differ(one, other, "name")),
    (lambda guest: (guest.email,), _are_two_people),
    (lambda guest: (guest.phone, guest.name) if guest.phone else (), lambda _one, _other: False),
    (lambda guest: (guest.phone,), lambda one, other: _differ(one, other, "name", "email")),
    (lambda guest: (guest.name,), lambda one, other: _differ(one, other, "id")),
)
"""Ways to match two guests, the most certain first: what they have in common, and what rules the match out."""


def _normalised(value: Any) -> str:
    """Return a text in the form in which texts are compared."""
    return _bounded(normalize("NFC", _one_line(str(value or "")).casefold()))


def _address(value: Any) -> str:
    return _normalised(value).replace(" ", "") if value else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_PART_LENGTH else sha256(text.encode("utf-8", "replace")).hexdigest()
