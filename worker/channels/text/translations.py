"""Every sentence that a message can contain, in each supported language."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.booking import NotificationKind


@dataclass(frozen=True)
class Translation:
    """The sentences of one language. Subjects end with the meeting, as in "Cancelled: Discovery Call with Jane Doe"."""

    subject: Mapping[NotificationKind, str]
    intro: Mapping[NotificationKind, str]
    party: Mapping[str, str]
    hello: str
    meeting: str
    with_guest: str
    with_two: str
    with_more: str
    unknown_guest: str
    nobody: str
    what: str
    when: str
    previously: str
    guests: str
    still_attending: str
    no_longer_attending: str
    host: str
    location: str
    link: str
    reason: str
    cancelled_by: str
    footer: str
    time_known: str
    handed_over: str
    replaced: str
    more: str
    note: str
    clocks_change: str
    clocks_changed: str
    hour_repeats: str
    zone_unknown: str
    join: str
    calendar: str


ENGLISH = Translation(
    subject={
        "created": "New booking",
        "rescheduled": "Rescheduled",
        "updated": "Updated",
        "cancelled": "Cancelled",
        "attendee_left": "Guest cancelled",
        "summary": "Your upcoming bookings",
    },
    intro={
        "created": "A new meeting has been booked.",
        "rescheduled": "This meeting has been moved to a new time.",
        "updated": "This meeting has other hosts than before.",
        "cancelled": "This meeting has been cancelled.",
        "attendee_left": "A guest can no longer attend. The meeting itself has not been cancelled.",
        "summary": "From now on you are notified of your bookings here. These are the next ones.",
    },
    party={"attendee": "a guest", "host": "the host"},
    hello="Hello",
    meeting="Meeting",
    with_guest="{meeting} with {first}",
    with_two="{meeting} with {first} and {last}",
    with_more="{meeting} with {first} and {count} others",
    unknown_guest="Guest (no details known)",
    nobody="nobody",
    what="What",
    when="When",
    previously="Previously",
    guests="With",
    still_attending="Still attending",
    no_longer_attending="No longer attending",
    host="Host",
    location="Where",
    link="Meeting link",
    reason="Reason",
    cancelled_by="Cancelled by",
    footer="This message was sent automatically.",
    time_known="The time of this meeting is known now, or was corrected.",
    handed_over="This meeting takes place with another host.",
    replaced="It was replaced by another booking.",
    more="... and {count} more",
    note="Note",
    clocks_change="The clocks change during this meeting.",
    clocks_changed="The clocks change between the previous and the new time.",
    hour_repeats="The clocks go back: this hour comes twice, so mind the offset from UTC.",
    zone_unknown="The host's time zone is not known, so times are in UTC.",
    join="Join the meeting",
    calendar="Bookings",
)

GERMAN = Translation(
    subject={
        "created": "Neue Buchung",
        "rescheduled": "Verschoben",
        "updated": "Geändert",
        "cancelled": "Abgesagt",
        "attendee_left": "Absage eines Gastes",
        "summary": "Ihre kommenden Termine",
    },
    intro={
        "created": "Es wurde ein neuer Termin gebucht.",
        "rescheduled": "Dieser Termin wurde verschoben.",
        "updated": "Dieser Termin hat andere Gastgeber als bisher.",
        "cancelled": "Dieser Termin wurde abgesagt.",
        "attendee_left": "Ein Gast nimmt nicht mehr teil. Der Termin selbst ist nicht abgesagt.",
        "summary": "Ab jetzt erfahren Sie hier von Ihren Terminen. Dies sind die nächsten.",
    },
    party={"attendee": "Gast", "host": "Gastgeber"},
    hello="Guten Tag",
    meeting="Termin",
    with_guest="{meeting} mit {first}",
    with_two="{meeting} mit {first} und {last}",
    with_more="{meeting} mit {first} und {count} weiteren Gästen",
    unknown_guest="Gast (keine Angaben)",
    nobody="niemand",
    what="Was",
    when="Wann",
    previously="Bisher",
    guests="Mit",
    still_attending="Weiterhin dabei",
    no_longer_attending="Nicht mehr dabei",
    host="Gastgeber",
    location="Ort",
    link="Link zum Termin",
    reason="Grund",
    cancelled_by="Abgesagt durch",
    footer="Diese Nachricht wurde automatisch versendet.",
    time_known="Die Zeit dieses Termins ist jetzt bekannt oder wurde berichtigt.",
    handed_over="Diesen Termin übernimmt jemand anderes.",
    replaced="Eine andere Buchung ersetzt ihn.",
    more="... und {count} weitere",
    note="Hinweis",
    clocks_change="Während dieses Termins wird die Uhr umgestellt.",
    clocks_changed="Zwischen der bisherigen und der neuen Zeit wird die Uhr umgestellt.",
    hour_repeats="Die Uhr wird zurückgestellt: Diese Stunde gibt es zweimal, achten Sie auf den Abstand zu UTC.",
    zone_unknown="Die Zeitzone des Gastgebers ist nicht bekannt, daher sind die Zeiten in UTC.",
    join="Zum Termin",
    calendar="Buchungen",
)
