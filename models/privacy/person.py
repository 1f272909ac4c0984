"""Personal data: recognise a guest in texts, JSON and bodies, and remove it."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import parseaddr
from typing import Any, NamedTuple
from unicodedata import category, normalize
from urllib.parse import unquote

from meetergo.guests import Identity

ERASED = "(erased)"
MIN_ID_LENGTH = 8
"""Minimum length of an id that identifies the person in other bookings too."""
MIN_PHONE_DIGITS = 6
"""Minimum number of digits of a phone number."""
JSON_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
PHONE_NUMBER = re.compile(r"\+?\(?\d[\d\s()/.\-\u2010-\u2015]{4,30}\d")
NEEDLESS_IN_ADDRESS = re.compile(r'(?:"([^"\s@]+)"|\([^()@]*\))@')
"""Comments, and quotes around plain text, before an @: `jane(home)@example.com` and `"jane"@example.com` are Jane."""
NOT_INSIDE_ADDRESS = r"(?<![\w.+%\-])"
"""Lookbehind: the address is not the end of a longer one."""
NOT_BEFORE_DOMAIN = r"(?![\w\-])(?!\.[\w])"

Details = Mapping[str, Any]


class Identities(NamedTuple):
    """What tells one person from another, normalized as in `Person`."""

    emails: frozenset[str] = frozenset()
    phones: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    @classmethod
    def union(cls, several: Iterable["Identities"]) -> "Identities":
        """Return all of several people."""
        return cls(*(frozenset[str]().union(*kind) for kind in zip(*several, strict=True)))

    def difference(self, other: "Identities") -> "Identities":
        """Return those that the other does not have."""
        return Identities(*(own - others for own, others in zip(self, other, strict=True)))


NO_IDENTITIES = Identities()


@dataclass(frozen=True)
class Person:
    """The person to look for.

    Attributes:
        emails: normalized by `normalize_text`.
        phones: digits only.
        names: full names, normalized by `normalize_text`.
        keys: the ids of this person in bookings.
        other_identities: further addresses, numbers and names of the person. They are searched for in texts, but do
            not identify a guest as the person.
    """

    emails: frozenset[str] = frozenset()
    phones: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    other_identities: Identities = NO_IDENTITIES
    _pattern: re.Pattern[str] | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        """Compile the patterns once for many texts."""
        emails, names = self.emails | self.other_identities.emails, self.names | self.other_identities.names
        parts = [
            f"{NOT_INSIDE_ADDRESS}{re.escape(each)}{NOT_BEFORE_DOMAIN}"
            for email in emails
            for each in domain_variants(email)
        ]
        parts += [rf"(?<!\w){re.escape(name)}(?!\w)" for name in names]
        object.__setattr__(self, "_pattern", re.compile("|".join(parts)) if parts else None)

    def matches_guest(self, details: Details) -> bool:
        """Whether an attendee is this person: by address or number, or by name if neither is known."""
        emails, phones, names = identities(details)
        if emails & self.emails or any(_is_same_number(a, b) for a in phones for b in self.phones):
            return True
        return not (self.emails or self.phones) and bool(names & self.names)

    def is_mentioned_in(self, value: Any) -> bool:
        """Whether a JSON value of any depth mentions this person anywhere, including keys."""
        waiting = [value]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                waiting += [*value, *value.values()]
            elif isinstance(value, list):
                waiting += value
            elif self._is_in_scalar(value):
                return True
        return False

    def with_identities_of(self, guests: Sequence[Details]) -> "Person":
        """Return the person with every id, address, number and name of the guests who are the person.

        Details that another guest shares are omitted: a family may share a phone, and only the person is erased.
        """
        person = self
        while True:
            found = {str(each["id"]) for each in guests if each.get("id") and person._is_same_guest(each)}
            if found <= person.keys:
                break
            person = replace(person, keys=person.keys | found)
        own, others = (
            Identities.union(identities(each) for each in guests if person._is_same_guest(each) is is_own)
            for is_own in (True, False)
        )
        return replace(person, other_identities=own.difference(others))

    def _is_same_guest(self, details: Details) -> bool:
        return str(details.get("id")) in self.keys or self.matches_guest(details)

    def redact(self, value: Any, name: str = "") -> Any:
        """Return a JSON value without this person.

        Attendees, and values whose key mentions the person, are dropped; other texts that mention the person are
        replaced as a whole.
        """
        if isinstance(value, list):
            return [self.redact(item, name) for item in value if not self._is_person(item, name)]
        if isinstance(value, dict):
            if self._is_person(value, name):
                return ERASED
            return {each: self.redact(item, each) for each, item in value.items() if not self.is_mentioned_in(each)}
        return ERASED if self.is_mentioned_in(value) else value

    def _is_person(self, item: Any, name: str) -> bool:
        is_of_attendees = "attendee" in name.lower()
        if isinstance(item, dict):
            return (is_of_attendees and str(item.get("id")) in self.keys) or self.matches_guest(item)
        return isinstance(item, str) and is_of_attendees and self.matches_key(item)

    def matches_key(self, key: str) -> bool:
        """Whether a booking's facts know this person by this key: see `meetergo.guests`."""
        return key in self.keys or Identity.parse(key).id in self.keys or self.is_mentioned_in(key)

    def _is_in_scalar(self, value: Any) -> bool:
        if isinstance(value, str):
            return self._is_in_text(value)
        return isinstance(value, int) and not isinstance(value, bool) and self._is_number(str(value))

    def _is_in_text(self, text: str) -> bool:
        for each in _decodings(text):
            if self._pattern and self._pattern.search(each):
                return True
            if (self.phones or self.other_identities.phones) and any(map(self._is_number, PHONE_NUMBER.findall(each))):
                return True
        return False

    def _is_number(self, text: str) -> bool:
        known = self.phones | self.other_identities.phones
        return any(_is_same_number(normalize_phone(text), phone) for phone in known)


def person_from(email: str = "", phone: str = "", name: str = "") -> Person:
    """Build the person that an operator names.

    Args:
        email: an address, also as `Jane <jane@example.com>`.
        phone: a number in any notation.
        name: the full name.

    Raises:
        ValueError: one of them is malformed.
    """
    addresses = {normalize_address(email)} if email.strip() else set()
    if any(not re.fullmatch(r"[^@\s]+@[^@\s]+", each) for each in addresses):
        raise ValueError(f"'{email}' is not an e-mail address: use --phone or --name for a guest without one")
    numbers = {normalize_phone(phone)} if phone.strip() else set()
    if any(len(each) < MIN_PHONE_DIGITS for each in numbers):
        raise ValueError(f"'{phone}' is not a phone number")
    return Person(frozenset(addresses), frozenset(numbers), frozenset(filter(None, [normalize_text(name)])))


def normalize_text(text: str) -> str:
    """Normalize a text for comparison: case, width, composition and invisible characters do not matter."""
    if not text.isascii():
        text = normalize("NFKC", text)
        for character in set(text):
            if category(character) == "Cf":
                text = text.replace(character, "")
    return " ".join(text.casefold().split())


def normalize_address(text: str) -> str:
    """Normalize a typed address for comparison; its domain becomes ASCII."""
    text = normalize_text(text).removeprefix("mailto:")
    address = _without_needless(parseaddr(text)[1] or text if "<" in text else text).rstrip(".")
    local, at, domain = address.rpartition("@")
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode("ascii")
    return f"{local}{at}{domain}"


def _without_needless(text: str) -> str:
    return NEEDLESS_IN_ADDRESS.sub(r"\1@", text) if '"@' in text or ")@" in text else text


def domain_variants(email: str) -> set[str]:
    """Return an address with its domain in Unicode and in ASCII."""
    local, _, domain = email.rpartition("@")
    found = {email}
    with suppress(UnicodeError):
        found.add(f"{local}@{normalize_text(domain.encode('ascii').decode('idna'))}")
    return found


def normalize_phone(text: str) -> str:
    """Reduce a phone number to its digits, without a leading 00."""
    return re.sub(r"\D", "", text).removeprefix("00")


def identities(details: Details) -> Identities:
    """Return the addresses, numbers and full names of an attendee."""
    text = {name.lower(): str(value) for name, value in details.items() if isinstance(value, str | int) and value}
    emails = {
        address for name, value in text.items() if "mail" in name and "@" in (address := normalize_address(value))
    }
    phones = {normalize_phone(value) for name, value in text.items() if "phone" in name}
    names = {normalize_text(text[each]) for each in ("fullname", "name") if each in text}
    if {"firstname", "lastname"} <= text.keys():
        names.add(normalize_text(f"{text['firstname']} {text['lastname']}"))
    return Identities(
        frozenset(emails),
        frozenset(each for each in phones if len(each) >= MIN_PHONE_DIGITS),
        frozenset(each for each in names if " " in each),
    )


def find_guests(value: Any, name: str = "") -> Iterator[Details]:
    """Yield the attendees in a JSON value of any depth: objects in lists, or under names, of attendees."""
    waiting = [(name, value)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            if "attendee" in name.lower():
                yield value
            waiting += reversed(value.items())
        elif isinstance(value, list):
            waiting += [(name, item) for item in reversed(value)]


def body_as_json(body: bytes) -> Any:
    """Parse a body as JSON; return it as text if it is not JSON, or an object has a name twice and so hides a value."""
    try:
        return json.loads(body, object_pairs_hook=_with_unique_names)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _with_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise ValueError
    return unique


def _is_same_number(one: str, other: str) -> bool:
    """Whether two numbers are equal; one of them may be in national format."""
    if one == other:
        return True
    national, international = sorted((one, other), key=len)
    rest = national[1:]
    return national.startswith("0") and len(rest) >= MIN_PHONE_DIGITS and international.endswith(rest)


def _decodings(text: str) -> Iterator[str]:
    """Yield a normalized text, also with its JSON or URL escapes decoded, and with its addresses made plain."""
    normalized = normalize_text(text)
    yield normalized
    if (plain := _without_needless(normalized)) != normalized:
        yield plain
    if "\\u" in text:
        yield normalize_text(JSON_ESCAPE.sub(lambda found: chr(int(found[1], 16)), text))
    if "%" in text:
        yield normalize_text(unquote(text, errors="replace"))
