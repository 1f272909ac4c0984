"""Facts: the state of a booking as a map of last-writer-wins (LWW) registers.

A register is `[version, value]`. `join` takes, name by name, the value of the highest version. It is commutative,
associative and idempotent, so neither order nor repetition of deliveries matters.

None is a value too: the provider says that there is none. Older releases stored versions from the future, beyond a
limit; such a version loses against any other.

The facts of a guest are kept as long as every list of guests names that person. `ATTENDEES_SINCE` records, for each
guest of the newest list, the last list without that guest: facts of older versions are dropped whenever they arrive.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from meetergo.guests import listed_identifiers, match_guests, matching_identifiers

Facts = dict[str, Any]
"""Name -> [version, value]."""

ATTENDEE, ATTENDEE_PREFIX = "attendee", "attendee/"
ATTENDEE_IDS = "attendee_ids"
ATTENDEES_SINCE = "attendees_since"
MIN_FORMER_KEYS = 16
"""Number of former guest keys that are kept, or the number of guests if that is larger."""
NO_LIMIT = ":"
"""Sorts after every digit, so no version exceeds it."""
HOSTS_AT_PREFIX = "hosts_at/"
"""Name prefix of the hosts at a version. Such a fact never changes, so the order of arrival is irrelevant."""
MAX_HOST_VERSIONS = 64


def join(
    current: Facts,
    version: str,
    values: Mapping[str, Any],
    guests: Mapping[str, Mapping[str, Any]] | None = None,
    limit: str = NO_LIMIT,
) -> Facts:
    """Join new values into the facts. Returns `current` itself if nothing changes.

    Args:
        current: the facts.
        version: version of the new values.
        values: name -> value. `attendee_ids` are the keys of all guests.
        guests: key -> detail -> value, for the guests in the list.
        limit: versions beyond it are invalid.
    """
    keys = values.get(ATTENDEE_IDS)
    stated = values if keys is None else {**values, **_guest_facts(guests or {})}
    newer = {
        name: [version, value]
        for name, value in stated.items()
        if name not in current or version > current[name][0] or current[name][0] > limit >= version
    }
    listed = current.get(ATTENDEE_IDS)
    if (
        keys is None
        or listed is None
        or (listed[1] == keys and (ATTENDEE_IDS in newer or ATTENDEES_SINCE not in current))
    ):
        return current | newer if newer else current
    facts = _with_attendee_list(current, newer, version, keys, limit)
    return current if facts == current else facts


def newest(current: Facts, name: str) -> Any:
    """Return the newest value of a register, or None."""
    register = current.get(name)
    return register and register[1]


def newest_version(current: Facts, limit: str) -> str:
    """Return the highest version within the limit; empty if there is none."""
    return max((version for version, _ in current.values() if version <= limit), default="")


def without_future(current: Facts, limit: str) -> Facts:
    """Return the facts without those beyond a limit."""
    return {name: register for name, register in current.items() if register[0] <= limit}


def localized(text: Any, language: str | None) -> Any:
    """Pick the translation of a text: the given language, else English, else German, else the first."""
    if not isinstance(text, dict):
        return text
    by_language = {name.replace("_", "-").lower(): translation for name, translation in sorted(text.items())}
    wanted = (language or "").replace("_", "-").lower()
    for name in (wanted, wanted.partition("-")[0], "en", "de", next(iter(by_language), "")):
        matching = [
            translation
            for tag, translation in by_language.items()
            if name and (tag == name or tag.partition("-")[0] == name)
        ]
        if matching:
            return matching[0]
    return None


def attendees(current: Facts) -> list[dict[str, Any]]:
    """Return the current attendees with all their known details."""
    by_guest = _registers_by_guest(current)
    listed = {key: by_guest.pop(key, {}) for key in newest(current, ATTENDEE_IDS) or ()}
    if by_guest:
        values_by_guest = {key: _values_of(details) for key, details in listed.items()}
        others = match_guests(values_by_guest, {key: _values_of(details) for key, details in by_guest.items()})
        for key, matching in others.items():
            for other in sorted(matching):
                listed[key] = _merge_newer(listed[key], by_guest[other])
    return [dict(sorted(_values_of(details).items())) for details in listed.values()]


def _with_attendee_list(current: Facts, newer: Facts, version: str, keys: Sequence[str], limit: str) -> Facts:
    """Update the facts after a list of guests other than the newest arrived, dropping guests in neither list."""
    before = current.get(ATTENDEE_IDS)
    if before and before[0] > limit:
        before = None
    is_newest = before is None or version > before[0]
    old, new = listed_identifiers(before[1] if before else ()), listed_identifiers(keys)
    if before is None:
        since: dict[str, str] = {}
    elif is_newest:
        removed_since = newest(current, ATTENDEES_SINCE)
        remaining = {_hashed(each) for each in new & old} if removed_since else ()
        since = {each: removed_since[each] for each in remaining if each in removed_since}
        since |= {_hashed(each): before[0] for each in new - old}
    else:
        since = dict(newest(current, ATTENDEES_SINCE) or {})
        since |= {_hashed(each): max(version, since.get(_hashed(each), "")) for each in old - new}
    facts = current | newer
    listed = keys if is_newest else before[1] if before else ()
    return _pruned({**facts, ATTENDEES_SINCE: ["", since]}, listed, new if is_newest else old)


def _pruned(facts: Facts, listed: Sequence[str], identifiers: set[str]) -> Facts:
    """Drop what was known of guests before a list that did not contain them."""
    since = facts[ATTENDEES_SINCE][1]
    cutoffs: dict[str, str | None] = {}
    others: dict[str, str] = {}
    kept: Facts = {}
    current_keys = set(listed)
    for name, register in facts.items():
        key = _guest_key(name)
        if key is not None:
            if key not in cutoffs:
                linked = [each for each in matching_identifiers(key) if each in identifiers]
                cutoffs[key] = min((since.get(_hashed(each), "") if since else "" for each in linked), default=None)
            cutoff = cutoffs[key]
            if cutoff is None or register[0] < cutoff:
                continue
            if key not in current_keys:
                others[key] = max(register[0], others.get(key, ""))
        kept[name] = register
    if not since:
        del kept[ATTENDEES_SINCE]
    max_former = max(MIN_FORMER_KEYS, len(listed))
    if len(others) <= max_former:
        return kept
    surplus = set(sorted(others, key=lambda key: (others[key], key))[:-max_former])
    return {name: register for name, register in kept.items() if _guest_key(name) not in surplus}


def _guest_facts(guests: Mapping[str, Mapping[str, Any]]) -> Facts:
    """Return each detail of each guest as a separate fact, so that a later body with ids only does not remove names."""
    return {f"{ATTENDEE}/{name}/{key}": detail for key, details in guests.items() for name, detail in details.items()}


def _registers_by_guest(current: Facts) -> dict[str, Facts]:
    """Return key of a guest -> detail -> register."""
    guests: dict[str, Facts] = {}
    for name, register in current.items():
        if name.startswith(ATTENDEE_PREFIX):
            _, detail, key = name.split("/", 2)
            guests.setdefault(key, {})[detail] = register
    return guests


def _guest_key(name: str) -> str | None:
    """Return the key of the guest that a fact is about."""
    return name.split("/", 2)[2] if name.startswith(ATTENDEE_PREFIX) else None


def _merge_newer(one: Facts, other: Facts) -> Facts:
    newer = {name: register for name, register in other.items() if name not in one or register[0] > one[name][0]}
    return one | newer


def _values_of(details: Facts) -> dict[str, Any]:
    return {name: value for name, (_, value) in details.items() if value is not None}


def _hashed(identifier: str) -> str:
    """Hash an identifier of a guest, so that nothing of an erased guest remains."""
    return sha256(identifier.encode("utf-8", "replace")).hexdigest()[:16]


def sorted_ids(ids: Any) -> list[str]:
    """Return ids as a sorted list: a set in JSON form, so that equal sets compare equal."""
    return sorted({each for each in ids if isinstance(each, str)}) if isinstance(ids, list) else []


def with_hosts(current: Facts, version: str, hosts: Sequence[str]) -> Facts:
    """Record the hosts at a version. Call it before joining that version.

    Of consecutive versions with the same hosts only the first and last are kept, which is all that `hosting_since`
    needs. If the hosts changed very often, the oldest versions are dropped.
    """
    registers = [register] if (register := current.get("host_ids")) else []
    earlier = {f"{HOSTS_AT_PREFIX}{at}": sorted_ids(ids) for at, ids in registers}  # rows of older releases
    lists = {**earlier, **_hosts_by_version(current), f"{HOSTS_AT_PREFIX}{version}": list(hosts)}
    names = sorted(lists)
    redundant = [
        each
        for before, each, after in zip(names, names[1:], names[2:], strict=False)
        if lists[before] == lists[each] == lists[after]
    ]
    kept = [each for each in names if each not in redundant][-MAX_HOST_VERSIONS:]
    others = {each: register for each, register in current.items() if not each.startswith(HOSTS_AT_PREFIX)}
    return others | {each: [each.removeprefix(HOSTS_AT_PREFIX), lists[each]] for each in kept}


def hosting_since(current: Facts, hosts: Sequence[str]) -> dict[str, str]:
    """Return host -> version since which that host has hosted without interruption."""
    lists = _hosts_by_version(current)
    since = dict.fromkeys(hosts, "")
    continuous = {*hosts}
    for name in sorted(lists, reverse=True):
        continuous &= {*lists[name]}
        since |= dict.fromkeys(continuous, name.removeprefix(HOSTS_AT_PREFIX))
    return since


def _hosts_by_version(current: Facts) -> dict[str, list[str]]:
    return {name: register[1] for name, register in current.items() if name.startswith(HOSTS_AT_PREFIX)}
