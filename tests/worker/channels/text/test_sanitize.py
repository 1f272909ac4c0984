"""Guests' text mentions nobody, links nowhere and marks nothing up, in any channel."""

import json
import re

import pytest
from icalendar import Calendar

from worker.channels import open_channel
from worker.channels.text.message_text import MessageText
from worker.channels.text.sanitize import break_links, escape_markup, safe_link

PINGS = ["@everyone", "@here", "@channel", "@all", "@Everyone", "bob@here.com", "@anna", "<!channel>", "<!here|here>"]
PINGS += ["<@U123ABC>", "<@&99>", "<#C123>", "<users/all>", "<at>Anna</at>", "@**all**", "x@everyone"]
LINKS = ["https://evil.example/x", "HTTP://evil.example", "www.evil.example", "evil.example/login", "//evil.example"]
LINKS += ["<https://evil.example|click>", "[click](https://evil.example)", "ftp://evil.example", "evil.com"]
MARKS = ["**bold**", "_it_", "__u__", "~~gone~~", "`code`", "```\nblock\n```", "||spoiler||", "# Title", "> quote"]
MARKS += [
    "![x](https://evil.example/i.png)",
    "<b>bold</b>",
    "&lt;b&gt;",
    "$$x$$",
    "\\(x\\)",
    ":rotating_light:",
    "/start",
]
MARKED = re.compile(
    r"""@(?:everyone|here|channel|all|anna|\*)|<[!@#a-z]|\b\w+://|\w\.(?:example|com)\b|[*~`|\[\]<>\\$]|(?<!\w)_|_(?!\w)
    |\#|&\w+;|:\w+:|(?<!\S)/\w""",
    re.IGNORECASE | re.VERBOSE,
)


@pytest.mark.parametrize("typed", [*PINGS, *LINKS, *MARKS])
def test_nothing_remains_that_a_chat_would_act_on(typed):
    assert MARKED.search(typed)
    assert not MARKED.search(escape_markup(typed))
    assert not MARKED.search(escape_markup(f"Meeting with {typed}, and more"))


@pytest.mark.parametrize("text", ["jane_doe@guests.example", "Jane O'Neil-Smith (VIP), +1 555 0100", "3:00 PM", "a_b"])
def test_harmless_text_is_unchanged(text):
    assert escape_markup(text) == text


def test_a_disarmed_link_is_still_readable():
    assert break_links("see https://evil.example/x now").replace("\u200b", "") == "see https://evil.example/x now"


@pytest.mark.parametrize(
    "field", ["meeting_name", "location", "cancel_reason", "cancelled_by", "guest", "email", "host"]
)
def test_every_field_is_sanitized_for_chats(field, platform, make_message, guests, settings):
    channel = open_channel(f"json://{platform.place}/", settings())
    for number, typed in enumerate([*PINGS, *LINKS, *MARKS]):
        changes = {
            "guest": {"attendees": [guests[0] | {"fullname": typed}]},
            "email": {"attendees": [guests[0] | {"email": typed}]},
            "host": {"host": {"name": typed}},
        }.get(field, {field: typed})
        channel.send(make_message(**{"kind": "cancelled", "meeting_link": None, **changes}))

        sent = json.loads(platform.received[number][2])
        for text in (sent["title"], sent["message"].replace("jane@guests.example", "")):
            assert not MARKED.search(text), (typed, MARKED.search(text))


def test_a_meeting_link_is_clickable_and_adds_no_markup(platform, make_message, settings):
    channel = open_channel(f"json://{platform.place}/", settings())
    channel.send(make_message())
    channel.send(make_message(meeting_link="https://zoom.example/@everyone/*b*/_i_/a_b?x=[1](2)|3"))
    channel.send(make_message(meeting_link="https://zoom.example@evil.example/"))

    usual, odd, forged = (json.loads(body)["message"] for _, _, body in platform.received)
    assert "Meeting link: https://zoom.example/j/123?pwd=a&b=c\n" in usual
    assert "https://zoom.example/%40everyone/%2Ab%2A/%5Fi%5F/a_b?x=%5B1%5D%282%29%7C3\n" in odd
    assert not MARKED.search(forged.partition("Meeting link: ")[2].partition("\n")[0])


@pytest.mark.parametrize("typed", LINKS)
def test_guests_text_becomes_no_link_in_a_mail_and_its_invite(typed, make_message, guests):
    from email.headerregistry import Address

    from worker.channels.mail.branding import MailBranding
    from worker.channels.mail.calendar_invite import CalendarInvite
    from worker.channels.mail.templates import MailTemplates

    guest = guests[0] | {"fullname": typed, "phone": typed}
    message = make_message(kind="cancelled", meeting_name=typed, location=typed, cancel_reason=typed, attendees=[guest])
    rendered = MessageText.render(message, is_personal=True)
    html = MailTemplates(MailBranding("", "#1a5fb4")).render(message, rendered).html
    someone = Address("", "a", "b.example")
    [event] = Calendar.from_ical(CalendarInvite.to(someone, message, rendered, someone).ics).walk("VEVENT")

    for text in (rendered.text, html, event["SUMMARY"], event["DESCRIPTION"], event["LOCATION"]):
        assert not re.search(r"\b\w+://evil|\w\.example/x|evil\.(example|com)", text)
    assert 'href="https://zoom.example' in html


@pytest.mark.parametrize("link", ["https://zoom.example@evil.example/", "https://a:b@evil.example/"])
def test_a_link_that_displays_another_host_is_not_clickable(link):
    assert safe_link(link) is None
