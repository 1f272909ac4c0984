import re

import pytest

from worker.channels.text.locale import ReaderLocale
from worker.channels.text.message_text import MessageText
from worker.channels.text.time_range import TimeRange

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
        "When: Thursday, 15 January 2026, 15:00\N{EN DASH}15:30 (Europe/Berlin)\n"
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

    assert "When: Thursday, 15 January 2026, 15:00" in text
    assert "Previously: Wednesday, 14 January 2026, 15:00" in text


def test_a_changed_length_names_the_old_length(render):
    text = render(kind="rescheduled", before={"ends_at": "2026-01-15T14:15:00+00:00"}).text

    assert "Previously: Thursday, 15 January 2026, 15:00\N{EN DASH}15:15 (Europe/Berlin)" in text


def test_a_cancellation_names_who_cancelled_and_the_reason(render):
    text = render(
        kind="cancelled", status="cancelled", cancel_reason="Schedule\nconflict", cancelled_by="attendee"
    ).text

    assert "Cancelled by: a guest\nReason: Schedule conflict\n" in text


def test_a_cancellation_in_german_names_who_cancelled_and_the_reason(render):
    german = render(kind="cancelled", host={"language": "de"}, cancel_reason="Krank", cancelled_by="host")

    assert german.subject.startswith("Abgesagt: ")
    assert "Abgesagt durch: Gastgeber\nGrund: Krank\n" in german.text


@pytest.mark.parametrize("account", ["", "company:"])
def test_a_booking_that_another_replaced_says_so_without_its_id(account, render):
    moved = dict(kind="cancelled", cancel_reason=f"moved to {account}3f2a91c0-0000-4000-8000-000000000000")

    assert "\nReason: It was replaced by another booking.\n" in render(**moved).text
    assert "\nGrund: Eine andere Buchung ersetzt ihn.\n" in render(**moved, host={"language": "de"}).text
    assert "\nReason: moved to Thursday\n" in render(kind="cancelled", cancel_reason="moved to Thursday").text


def test_attendee_left_names_who_left_and_who_still_attends(render, guests):
    jane, john = guests
    text = render(kind="attendee_left", before={"attendees": [jane, john]}, attendees=[jane]).text

    assert "No longer attending: John Roe, john@guests.example\n" in text
    assert "Still attending: Jane Doe, jane@guests.example, +1 555 0100\n" in text


def test_the_subject_of_attendee_left_names_who_left(render, guests):
    jane, john = guests
    left = dict(kind="attendee_left", before={"attendees": [jane, john]}, attendees=[jane])

    assert render(**left).subject == "Guest cancelled: Discovery Call with John Roe (Thu, 15 Jan, 15:00)"
    assert render(**left).title == "Discovery Call with Jane Doe"
    unknown = render(kind="attendee_left", before={}, attendees=[jane])
    assert unknown.subject == "Guest cancelled: Discovery Call (Thu, 15 Jan, 15:00)"


def test_attendee_left_says_if_nobody_attends_any_more(render, guests):
    text = render(kind="attendee_left", before={"attendees": [guests[0]]}, attendees=[]).text

    assert "Still attending: nobody\n" in text


@pytest.mark.parametrize("name", ["שלום עולם", "محمد", "Jane (שלום)"])
def test_a_phone_number_after_a_right_to_left_name_keeps_its_direction(name, render):
    text = render(attendees=[{"id": "g", "fullname": name, "phone": "+49 30 901820"}]).text

    assert f"With: {name}\N{LEFT-TO-RIGHT MARK}, +49 30 901820\n" in text


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


@pytest.mark.parametrize("host", [None, {"timezone": "Mars/Olympus"}, {"timezone": "UTC"}])
def test_the_subject_says_that_its_time_is_in_utc(host, render):
    assert render(host=host).subject.endswith(" (Thu, Jan 15, 2:00 PM UTC)")


@pytest.mark.parametrize("language", ["de", "de-DE", "DE", "de_AT", "de-CH", "deutsch"])
def test_every_variant_of_de_is_german(language, render):
    assert render(host={"language": language}).subject.startswith("Neue Buchung")


@pytest.mark.parametrize("language", ["en", "en-GB", "fr", "", None, "-", "xx-yy-zz", "\n"])
def test_every_other_language_is_english(language, render):
    assert render(host={"language": language}).subject.startswith("New booking")


@pytest.mark.parametrize(
    ("language", "timezone", "when"),
    [
        ("en", "Europe/Vienna", "Thursday, 15 January 2026, 15:00\N{EN DASH}15:30 (Europe/Vienna)"),
        ("en", "America/New_York", "Thursday, January 15, 2026, 9:00 \N{EN DASH} 9:30 AM (America/New_York)"),
        ("en", "US/Eastern", "Thursday, January 15, 2026, 9:00 \N{EN DASH} 9:30 AM (US/Eastern)"),
        ("en", "Asia/Calcutta", "Thursday, 15 January 2026, 7:30 \N{EN DASH} 8:00 PM (Asia/Calcutta)"),
        ("en", "Asia/Tokyo", "Thursday, January 15, 2026, 23:00 \N{EN DASH} 23:30 (Asia/Tokyo)"),
        ("en", "America/Mexico_City", "Thursday, 15 January 2026, 8:00 \N{EN DASH} 8:30 am (America/Mexico_City)"),
        ("en", "UTC", "Thursday, January 15, 2026, 2:00 \N{EN DASH} 2:30 PM (UTC)"),
        ("en-US", "Europe/Vienna", "Thursday, January 15, 2026, 3:00 \N{EN DASH} 3:30 PM (Europe/Vienna)"),
        ("en-AT", "America/New_York", "Thursday, 15 January 2026, 09:00\N{EN DASH}09:30 (America/New_York)"),
        ("en_GB", "Europe/Vienna", "Thursday 15 January 2026, 15:00\N{EN DASH}15:30 (Europe/Vienna)"),
        ("en-001", "Europe/Vienna", "Thursday, 15 January 2026, 15:00\N{EN DASH}15:30 (Europe/Vienna)"),
        ("en-XX", "Europe/Vienna", "Thursday, 15 January 2026, 15:00\N{EN DASH}15:30 (Europe/Vienna)"),
        ("fr-US", "Europe/Vienna", "Thursday, January 15, 2026, 3:00 \N{EN DASH} 3:30 PM (Europe/Vienna)"),
        ("de", "Europe/Vienna", "Donnerstag, 15. Jänner 2026, 15:00\N{EN DASH}15:30 Uhr (Europe/Vienna)"),
        ("de-DE", "Europe/Vienna", "Donnerstag, 15. Januar 2026, 15:00\N{EN DASH}15:30 Uhr (Europe/Vienna)"),
        ("de", "America/New_York", "Donnerstag, 15. Januar 2026, 09:00\N{EN DASH}09:30 Uhr (America/New_York)"),
    ],
)
def test_dates_follow_the_region_of_the_language_or_else_of_the_time_zone(language, timezone, when, render):
    text = render(host={"language": language, "timezone": timezone}).text

    assert when in text.replace("Thursday, 15", "Thursday 15" if language == "en_GB" else "Thursday, 15")


def test_the_subject_has_24_hours_in_vienna(render):
    assert render(host={"timezone": "Europe/Vienna"}).subject.endswith("(Thu, 15 Jan, 15:00)")


@pytest.mark.parametrize(
    ("language", "when", "note"),
    [
        (
            "en",
            "When: Sunday, 25 October 2026, 02:30 (UTC+2) \N{EN DASH} 02:15 (UTC+1) (Europe/Berlin)\n",
            "Note: The clocks change during this meeting.\n",
        ),
        (
            "de",
            "Wann: Sonntag, 25. Oktober 2026, 02:30 Uhr (UTC+2) \N{EN DASH} 02:15 Uhr (UTC+1) (Europe/Berlin)\n",
            "Hinweis: Während dieses Termins wird die Uhr umgestellt.\n",
        ),
    ],
)
def test_a_meeting_during_which_the_clocks_change_shows_both_offsets(language, when, note, render):
    text = render(
        host={"language": language}, starts_at="2026-10-25T00:30:00+00:00", ends_at="2026-10-25T01:15:00+00:00"
    ).text

    assert when + note in text


def test_a_meeting_over_the_night_of_a_clock_change_shows_both_offsets(render):
    text = render(starts_at="2026-03-28T22:00:00+00:00", ends_at="2026-03-29T02:00:00+00:00").text

    assert (
        "Saturday, 28 March 2026, 23:00 (UTC+1) \N{EN DASH} Sunday, 29 March 2026, 04:00 (UTC+2) (Europe/Berlin)"
    ) in text


@pytest.mark.parametrize(("hour", "offset"), [("00", "UTC+2"), ("01", "UTC+1")])
def test_an_hour_that_comes_twice_shows_which_one_it_is(hour, offset, render):
    message = render(starts_at=f"2026-10-25T{hour}:10:00+00:00", ends_at=f"2026-10-25T{hour}:40:00+00:00")

    assert message.subject.endswith(f"(Sun, 25 Oct, 02:10 {offset})")
    assert f"02:10\N{EN DASH}02:40 (Europe/Berlin, {offset})\nNote: The clocks go back" in message.text


def test_a_meeting_moved_across_a_clock_change_shows_both_offsets(render):
    before = {"starts_at": "2026-10-24T13:00:00+00:00", "ends_at": "2026-10-24T13:30:00+00:00"}
    text = render(
        kind="rescheduled",
        before=before,
        starts_at="2026-10-26T14:00:00+00:00",
        ends_at="2026-10-26T14:30:00+00:00",
    ).text

    assert (
        "When: Monday, 26 October 2026, 15:00\N{EN DASH}15:30 (Europe/Berlin, UTC+1)\n"
        "Previously: Saturday, 24 October 2026, 15:00\N{EN DASH}15:30 (Europe/Berlin, UTC+2)\n"
        "Note: The clocks change between the previous and the new time.\n"
    ) in text


def test_a_meeting_on_a_day_without_a_clock_change_shows_no_offset(render):
    assert "UTC" not in render(kind="rescheduled", before=MOVED).text


@pytest.mark.parametrize(
    ("timezone", "offset"),
    [("Asia/Kolkata", "UTC+5:30"), ("America/St_Johns", "UTC\N{MINUS SIGN}3:30"), ("UTC", "UTC")],
)
def test_the_name_of_an_offset(timezone, offset, make_message):
    reader = ReaderLocale.of({"timezone": timezone})
    assert f", {offset})" in TimeRange.of(make_message().booking).format_long(reader, with_offset=True)


@pytest.mark.parametrize("kind", ["created", "summary"])
def test_a_time_zone_that_does_not_exist_is_mentioned(kind, render):
    note = "Note: The host's time zone is not known, so times are in UTC.\n"

    assert note in render(kind=kind, host={"timezone": "Mars/Olympus"}).text
    assert not [each for each in ("", None, "UTC", "CET") if note in render(kind=kind, host={"timezone": each}).text]


def test_only_some_of_a_great_many_guests_are_listed(render, guests):
    text = render(attendees=[guests[0] | {"id": str(number)} for number in range(150)]).text

    assert text.count("jane@guests.example") == 100
    assert "  - ... and 50 more\n" in text


def test_a_meeting_across_midnight_names_both_days(render):
    text = render(
        host={"language": "de"}, starts_at="2026-01-15T22:30:00+00:00", ends_at="2026-01-15T23:30:00+00:00"
    ).text

    assert (
        "Wann: Donnerstag, 15. Januar 2026, 23:30 Uhr \N{EN DASH} Freitag, 16. Januar 2026, 00:30 Uhr (Europe/Berlin)"
    ) in text


@pytest.mark.parametrize("ends_at", [None, "2026-01-15T14:00:00+00:00", "2026-01-15T13:00:00+00:00"])
def test_an_unknown_or_implausible_end_is_omitted(ends_at, render):
    assert "When: Thursday, 15 January 2026, 15:00 (Europe/Berlin)\n" in render(ends_at=ends_at).text


def test_lines_hold_no_invisible_characters(render):
    assert render(meeting_name="Call\u202e\x00\r\n\t\ud800 me").title == "Call me with Jane Doe"


def test_a_very_long_name_is_truncated_in_the_subject(render):
    assert len(render(meeting_name="x" * 100_000).subject) < 200
