import re

import pytest

from worker.channels.text.message_text import MessageText

MOVED = {"starts_at": "2026-01-14T14:00:00+00:00", "ends_at": "2026-01-14T14:30:00+00:00"}
KINDS = ["created", "rescheduled", "cancelled", "attendee_left"]


@pytest.fixture
def render(make_message):
    def written(is_personal=True, **changes):
        return MessageText.render(make_message(**changes), is_personal=is_personal)

    return written


def test_a_new_booking_in_english(render):
    assert render().text == (
        "Hello Anna Muster,\n"
        "\n"
        "A new meeting has been booked.\n"
        "\n"
        "What: Discovery Call with Jane Doe\n"
        "When: Thursday, January 15, 2026, 3:00 \N{EN DASH} 3:30 PM (Europe/Berlin)\n"
        "With: Jane Doe, jane@guests.example, +1 555 0100\n"
        "Meeting link: https://zoom.example/j/123?pwd=a&b=c\n"
        "\n"
        "This message was sent automatically."
    )


def test_a_new_booking_in_german(render):
    german = render(host={"language": "de"})

    assert german.subject == "Neue Buchung: Discovery Call mit Jane Doe (Do., 15. Jan., 15:00 Uhr)"
    assert german.text == (
        "Guten Tag Anna Muster,\n"
        "\n"
        "Es wurde ein neuer Termin gebucht.\n"
        "\n"
        "Was: Discovery Call mit Jane Doe\n"
        "Wann: Donnerstag, 15. Januar 2026, 15:00\N{EN DASH}15:30 Uhr (Europe/Berlin)\n"
        "Mit: Jane Doe, jane@guests.example, +1 555 0100\n"
        "Link zum Termin: https://zoom.example/j/123?pwd=a&b=c\n"
        "\n"
        "Diese Nachricht wurde automatisch versendet."
    )


def test_a_reschedule_names_the_old_and_the_new_time(render):
    text = render(kind="rescheduled", before=MOVED).text

    assert "When: Thursday, January 15, 2026, 3:00" in text
    assert "Previously: Wednesday, January 14, 2026, 3:00" in text


def test_a_changed_length_names_the_old_length(render):
    text = render(kind="rescheduled", before={"ends_at": "2026-01-15T14:15:00+00:00"}).text

    assert "Previously: Thursday, January 15, 2026, 3:00 \N{EN DASH} 3:15 PM (Europe/Berlin)" in text


def test_a_cancellation_names_who_cancelled_and_the_reason(render):
    text = render(
        kind="cancelled", status="cancelled", cancel_reason="Schedule\nconflict", cancelled_by="attendee"
    ).text

    assert "Cancelled by: a guest\nReason: Schedule conflict\n" in text


def test_a_cancellation_in_german_names_who_cancelled_and_the_reason(render):
    german = render(kind="cancelled", host={"language": "de"}, cancel_reason="Krank", cancelled_by="host")

    assert german.subject.startswith("Abgesagt: ")
    assert "Abgesagt durch: Gastgeber\nGrund: Krank\n" in german.text


def test_attendee_left_names_who_left_and_who_still_attends(render, guests):
    jane, john = guests
    text = render(kind="attendee_left", before={"attendees": [jane, john]}, attendees=[jane]).text

    assert "No longer attending: John Roe, john@guests.example\n" in text
    assert "Still attending: Jane Doe, jane@guests.example, +1 555 0100\n" in text


def test_attendee_left_says_if_nobody_attends_any_more(render, guests):
    text = render(kind="attendee_left", before={"attendees": [guests[0]]}, attendees=[]).text

    assert "Still attending: nobody\n" in text


def test_several_guests_are_on_separate_lines(render, guests):
    several = render(attendees=[*guests, {"id": "guest-3", "phone": "+49 30 1"}, {"id": "guest-4"}])

    assert several.title == "Discovery Call with Jane Doe and 2 others"
    assert (
        "With:\n"
        "  - Jane Doe, jane@guests.example, +1 555 0100\n"
        "  - John Roe, john@guests.example\n"
        "  - +49 30 1\n"
        "  - Guest (no details known)\n"
    ) in several.text


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_booking_without_details_reads_well(kind, language, make_message):
    nothing = dict.fromkeys(make_message().booking) | {"id": "appt-1", "attendees": []}
    host = {"language": language, "name": None, "timezone": None, "email": None}

    text = MessageText.render(make_message(kind=kind, host=host, **nothing), is_personal=True).text

    assert text.startswith(("Hello,\n", "Guten Tag,\n"))
    assert re.search(r"^(What: Meeting|Was: Termin)$", text, re.MULTILINE)
    assert "None" not in text
    assert "\n\n\n" not in text


def test_a_booking_without_an_owner_is_in_english_and_utc(render):
    text = render(host=None, is_personal=False).text

    assert text.startswith("A new meeting has been booked.")
    assert "2:00 \N{EN DASH} 2:30 PM (UTC)" in text


@pytest.mark.parametrize("timezone", ["Mars/Olympus", "Europe", "../../etc/passwd", "", None])
def test_an_unknown_timezone_becomes_utc(timezone, render):
    assert "2:00 \N{EN DASH} 2:30 PM (UTC)" in render(host={"timezone": timezone}).text


@pytest.mark.parametrize("language", ["de", "de-DE", "DE", "de_AT", "de-CH", "deutsch"])
def test_every_variant_of_de_is_german(language, render):
    assert render(host={"language": language}).subject.startswith("Neue Buchung")


@pytest.mark.parametrize("language", ["en", "en-GB", "fr", "", None, "-", "xx-yy-zz", "\n"])
def test_every_other_language_is_english(language, render):
    assert render(host={"language": language}).subject.startswith("New booking")


def test_dates_follow_the_recipients_country(render):
    assert "Thursday 15 January 2026, 15:00" in render(host={"language": "en-GB"}).text.replace("Thursday,", "Thursday")


def test_a_meeting_across_midnight_names_both_days(render):
    text = render(
        host={"language": "de"}, starts_at="2026-01-15T22:30:00+00:00", ends_at="2026-01-15T23:30:00+00:00"
    ).text

    assert (
        "Wann: Donnerstag, 15. Januar 2026, 23:30 Uhr \N{EN DASH} Freitag, 16. Januar 2026, 00:30 Uhr (Europe/Berlin)"
    ) in text


@pytest.mark.parametrize("ends_at", [None, "2026-01-15T14:00:00+00:00", "2026-01-15T13:00:00+00:00"])
def test_an_unknown_or_implausible_end_is_omitted(ends_at, render):
    assert "When: Thursday, January 15, 2026, 3:00 PM (Europe/Berlin)\n" in render(ends_at=ends_at).text


@pytest.mark.parametrize("kind", KINDS)
def test_guests_text_is_escaped_in_html(kind, render, guests):
    evil = '<img src=x onerror="alert(1)">'
    guest = dict.fromkeys(guests[0], evil)

    html = render(
        kind=kind,
        host={"name": evil},
        before={"attendees": [guest | {"id": "2"}]},
        attendees=[guest],
        meeting_name=evil,
        location=evil,
        meeting_link=evil,
        cancel_reason=evil,
        cancelled_by=evil,
    ).html

    assert "<img" not in html
    assert "&lt;img" in html


def test_a_web_link_is_clickable(render):
    assert '<a href="https://zoom.example/j/123?pwd=a&amp;b=c">' in render().html


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "zoom.example/j/1",
        "https:",
        "https://[",
        'https://x.example/"onclick=',
    ],
)
def test_any_other_link_is_only_text(link, render):
    html = render(meeting_link=link).html

    assert "href" not in html
    assert "Meeting link" in html


def test_lines_hold_no_invisible_characters(render):
    assert render(meeting_name="Call\u202e\x00\r\n\t\ud800 me").title == "Call me with Jane Doe"


def test_a_very_long_name_is_truncated_in_the_subject(render):
    assert len(render(meeting_name="x" * 100_000).subject) < 200
