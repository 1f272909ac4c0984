"""Facts: what is known of a booking, as registers of which each keeps its newest value.

A register is `[version, value]`. Joining takes, name by name, the value of the highest version. That
is commutative, associative and idempotent, so neither order nor repetition of deliveries can matter.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Facts = dict[str, Any]
"""Name -> [version, value]."""

ATTENDEE = "attendee"


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
