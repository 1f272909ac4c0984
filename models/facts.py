"""Facts: what is known of a booking, as registers of which each keeps its newest value.

A register is `[version, value]`. Joining takes, name by name, the value of the highest version. That
is commutative, associative and idempotent, so neither order nor repetition of deliveries can matter.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Facts = dict[str, Any]
"""Name -> [version, value]."""

ATTENDEE = "attendee"
HOSTS_AT = "hosts_at/"
"""Before a version: who hosted then. That is said once, so it is true for good, in whatever order it comes."""
MOST_HOSTS_AT = 64


def join(known: Facts, version: str, said: Mapping[str, Any]) -> Facts:
    """What is known once this has been said too; `known` itself if that adds nothing."""
    newer = {name: [version, value] for name, value in said.items() if name not in known or version > known[name][0]}
    return known | newer if newer else known


def newest(known: Facts, name: str) -> Any:
    """The newest value that was said, or None."""
    register = known.get(name)
    return register and register[1]


def about_attendees(attendees: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Each detail of each person as a fact of its own: a later body that names only ids takes no name away."""
    for key, details in attendees.items():
        for name, detail in details.items():
            yield f"{ATTENDEE}/{name}/{key}", detail


def attendees(known: Facts) -> list[dict[str, Any]]:
    """The people who attend now, with all that is known of them."""
    people: dict[str, dict[str, Any]] = {key: {} for key in newest(known, "attendee_ids") or ()}
    for fact, (_, detail) in known.items():
        kind, _, rest = fact.partition("/")
        name, _, key = rest.partition("/")
        if kind == ATTENDEE and key in people:
            people[key][name] = detail
    return [dict(sorted(person.items())) for person in people.values()]


def in_any_order(ids: Any) -> list[str]:
    """Ids as a set that JSON can hold: their order means nothing, so it is always the same."""
    return sorted({each for each in ids if isinstance(each, str)}) if isinstance(ids, list) else []


def with_hosts(known: Facts, version: str, hosts: Sequence[str]) -> Facts:
    """What is known once somebody said who hosted at some version; to be called before that is joined.

    Of versions in a row that name the same hosts the first and the last are kept: what `standing` compares is the same
    without those between. Of a booking whose hosts changed very often the oldest are dropped.
    """
    said = [register] if (register := known.get("host_ids")) else []
    earlier = {f"{HOSTS_AT}{at}": in_any_order(ids) for at, ids in said}  # by rows that are older than this
    lists = {**earlier, **_hosts_at(known), f"{HOSTS_AT}{version}": list(hosts)}
    names = sorted(lists)
    needless = [
        each
        for before, each, after in zip(names, names[1:], names[2:], strict=False)
        if lists[before] == lists[each] == lists[after]
    ]
    kept = [each for each in names if each not in needless][-MOST_HOSTS_AT:]
    others = {each: register for each, register in known.items() if not each.startswith(HOSTS_AT)}
    return others | {each: [each.removeprefix(HOSTS_AT), lists[each]] for each in kept}


def standing(known: Facts, hosts: Sequence[str]) -> dict[str, str]:
    """Since which version each of the hosts has been one without a break."""
    lists = _hosts_at(known)
    since = dict.fromkeys(hosts, "")
    unbroken = {*hosts}
    for name in sorted(lists, reverse=True):
        unbroken &= {*lists[name]}
        since |= dict.fromkeys(unbroken, name.removeprefix(HOSTS_AT))
    return since


def _hosts_at(known: Facts) -> dict[str, list[str]]:
    return {name: register[1] for name, register in known.items() if name.startswith(HOSTS_AT)}
