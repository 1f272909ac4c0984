"""Facts: what is known of a booking, as registers of which each keeps its newest value.

A register is `[version, value]`. Joining takes, name by name, the value of the highest version. That
is commutative, associative and idempotent, so neither order nor repetition of deliveries can matter.

A value of None was said too: there is none. A version beyond a limit, of a time that has not come yet, was stored
before such times were refused: it loses against any other.

What is known of a guest is kept for as long as each list of guests holds that person. Of the newest list, `SINCE`
remembers which list was the last without a guest: what older ones say of this guest is dropped, whenever it comes.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from meetergo.guests import joined, links, marks

Facts = dict[str, Any]
"""Name -> [version, value]."""

ATTENDEE = "attendee"
LIST = "attendee_ids"
SINCE = "attendees_since"
FEWEST_OTHERS = 16
"""As many keys under which the guests were listed before are kept, or as many as there are guests."""
NO_LIMIT = ":"
"""After every digit: no version is beyond it."""


def join(
    known: Facts,
    version: str,
    said: Mapping[str, Any],
    guests: Mapping[str, Mapping[str, Any]] | None = None,
    limit: str = NO_LIMIT,
) -> Facts:
    """What is known once this has been said too; `known` itself if that adds nothing.

    Args:
        known: the facts.
        version: of what is said.
        said: name -> value. `attendee_ids` are the keys of the guests, all of them.
        guests: key -> detail -> value, of those in the list.
        limit: a version beyond it is not true.
    """
    keys = said.get(LIST)
    told = said if keys is None else {**said, **_about(guests or {})}
    newer = {
        name: [version, value]
        for name, value in told.items()
        if name not in known or version > known[name][0] or known[name][0] > limit >= version
    }
    listed = known.get(LIST)
    if keys is None or listed is None or (listed[1] == keys and (LIST in newer or SINCE not in known)):
        return known | newer if newer else known
    facts = _with_list(known, newer, version, keys, limit)
    return known if facts == known else facts


def newest(known: Facts, name: str) -> Any:
    """The newest value that was said, or None."""
    register = known.get(name)
    return register and register[1]


def newest_version(known: Facts, limit: str) -> str:
    """The highest version that is not beyond a limit; empty if there is none."""
    return max((version for version, _ in known.values() if version <= limit), default="")


def without_future(known: Facts, limit: str) -> Facts:
    """The facts without those beyond a limit."""
    return {name: register for name, register in known.items() if register[0] <= limit}


def in_language(words: Any, language: str | None) -> Any:
    """A text of which there may be one for each language: in this one, else English, else German, else the first."""
    if not isinstance(words, dict):
        return words
    spoken = {name.replace("_", "-").lower(): said for name, said in sorted(words.items())}
    wanted = (language or "").replace("_", "-").lower()
    for name in (wanted, wanted.partition("-")[0], "en", "de", next(iter(spoken), "")):
        same = [said for tag, said in spoken.items() if name and (tag == name or tag.partition("-")[0] == name)]
        if same:
            return same[0]
    return None


def attendees(known: Facts) -> list[dict[str, Any]]:
    """The people who attend now, with all that is known of them."""
    told = _by_guest(known)
    listed = {key: told.pop(key, {}) for key in newest(known, LIST) or ()}
    if told:
        shown = {key: _shown(details) for key, details in listed.items()}
        others = joined(shown, {key: _shown(details) for key, details in told.items()})
        for key, same in others.items():
            for other in sorted(same):
                listed[key] = _newer_of(listed[key], told[other])
    return [dict(sorted(_shown(details).items())) for details in listed.values()]


def _with_list(known: Facts, newer: Facts, version: str, keys: Sequence[str], limit: str) -> Facts:
    """After another list of guests than the newest was told: who was in neither is dropped."""
    before = known.get(LIST)
    if before and before[0] > limit:
        before = None
    is_newest = before is None or version > before[0]
    there, here = marks(before[1] if before else ()), marks(keys)
    if before is None:
        since: dict[str, str] = {}
    elif is_newest:
        was = newest(known, SINCE)
        stayed = {_hidden(mark) for mark in here & there} if was else ()
        since = {mark: was[mark] for mark in stayed if mark in was}
        since |= {_hidden(mark): before[0] for mark in here - there}
    else:
        since = dict(newest(known, SINCE) or {})
        since |= {_hidden(mark): max(version, since.get(_hidden(mark), "")) for mark in there - here}
    facts = known | newer
    listed = keys if is_newest else before[1] if before else ()
    return _pruned({**facts, SINCE: ["", since]}, listed, here if is_newest else there)


def _pruned(facts: Facts, listed: Sequence[str], shown: set[str]) -> Facts:
    """Without what was said of guests before a list that did not hold them."""
    since = facts[SINCE][1]
    lasting: dict[str, str | None] = {}
    others: dict[str, str] = {}
    kept: Facts = {}
    own = set(listed)
    for name, register in facts.items():
        key = _guest(name)
        if key is not None:
            if key not in lasting:
                linked = [mark for mark in links(key) if mark in shown]
                lasting[key] = min((since.get(_hidden(mark), "") if since else "" for mark in linked), default=None)
            lost_until = lasting[key]
            if lost_until is None or register[0] < lost_until:
                continue
            if key not in own:
                others[key] = max(register[0], others.get(key, ""))
        kept[name] = register
    if not since:
        del kept[SINCE]
    most = max(FEWEST_OTHERS, len(listed))
    if len(others) <= most:
        return kept
    surplus = set(sorted(others, key=lambda key: (others[key], key))[:-most])
    return {name: register for name, register in kept.items() if _guest(name) not in surplus}


def _about(guests: Mapping[str, Mapping[str, Any]]) -> Facts:
    """Each detail of each guest as a fact of its own: a later body that names only ids takes no name away."""
    return {f"{ATTENDEE}/{name}/{key}": detail for key, details in guests.items() for name, detail in details.items()}


def _by_guest(known: Facts) -> dict[str, Facts]:
    """Key -> detail -> register."""
    guests: dict[str, Facts] = {}
    for name, register in known.items():
        if name.startswith("attendee/"):
            _, detail, key = name.split("/", 2)
            guests.setdefault(key, {})[detail] = register
    return guests


def _guest(name: str) -> str | None:
    """Whose detail a fact is."""
    return name.split("/", 2)[2] if name.startswith("attendee/") else None


def _newer_of(one: Facts, other: Facts) -> Facts:
    newer = {name: told for name, told in other.items() if name not in one or told[0] > one[name][0]}
    return one | newer


def _shown(details: Facts) -> dict[str, Any]:
    return {name: value for name, (_, value) in details.items() if value is not None}


def _hidden(mark: str) -> str:
    """A mark that gives nobody away, so that nothing of a guest stays who is erased."""
    return sha256(mark.encode("utf-8", "replace")).hexdigest()[:16]
