"""Wording: every sentence that a letter can contain, in each language that we write."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.booking import NewsKind


@dataclass(frozen=True)
class Wording:
    """One language. The subjects end with the meeting, as in "Cancelled: Discovery Call with Jane Doe"."""

    subject: Mapping[NewsKind, str]
    lead: Mapping[NewsKind, str]
    party: Mapping[str, str]
    hello: str
    meeting: str
    with_guest: str
    with_two: str
    with_more: str
    nameless: str
    nobody: str
    what: str
    when: str
    previously: str
    guests: str
    still: str
    left: str
    host: str
    location: str
    link: str
    reason: str
    cancelled_by: str
    footer: str


ENGLISH = Wording(
    subject={
        "created": "New booking",
        "rescheduled": "Rescheduled",
        "cancelled": "Cancelled",
        "attendee_left": "Guest cancelled",
    },
    lead={
        "created": "A new meeting has been booked.",
        "rescheduled": "This meeting has been moved to a new time.",
        "cancelled": "This meeting has been cancelled.",
        "attendee_left": "A guest can no longer attend. The meeting itself has not been cancelled.",
    },
    party={"attendee": "a guest", "host": "the host"},
    hello="Hello",
    meeting="Meeting",
    with_guest="{meeting} with {first}",
    with_two="{meeting} with {first} and {last}",
    with_more="{meeting} with {first} and {count} others",
    nameless="Guest (no details known)",
    nobody="nobody",
    what="What",
    when="When",
    previously="Previously",
    guests="With",
    still="Still attending",
    left="No longer attending",
    host="Host",
    location="Where",
    link="Meeting link",
    reason="Reason",
    cancelled_by="Cancelled by",
    footer="This message was sent automatically.",
)

GERMAN = Wording(
    subject={
        "created": "Neue Buchung",
        "rescheduled": "Verschoben",
        "cancelled": "Abgesagt",
        "attendee_left": "Absage eines Gastes",
    },
    lead={
        "created": "Es wurde ein neuer Termin gebucht.",
        "rescheduled": "Dieser Termin wurde verschoben.",
        "cancelled": "Dieser Termin wurde abgesagt.",
        "attendee_left": "Ein Gast nimmt nicht mehr teil. Der Termin selbst ist nicht abgesagt.",
    },
    party={"attendee": "Gast", "host": "Gastgeber"},
    hello="Guten Tag",
    meeting="Termin",
    with_guest="{meeting} mit {first}",
    with_two="{meeting} mit {first} und {last}",
    with_more="{meeting} mit {first} und {count} weiteren Gästen",
    nameless="Gast (keine Angaben)",
    nobody="niemand",
    what="Was",
    when="Wann",
    previously="Bisher",
    guests="Mit",
    still="Weiterhin dabei",
    left="Nicht mehr dabei",
    host="Gastgeber",
    location="Ort",
    link="Link zum Termin",
    reason="Grund",
    cancelled_by="Abgesagt durch",
    footer="Diese Nachricht wurde automatisch versendet.",
)
