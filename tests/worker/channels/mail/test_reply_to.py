"""A reply reaches the guest, if there is exactly one with an address that every mail server accepts."""

from email.headerregistry import Address

import pytest

from worker.channels import open_channel
from worker.channels.mail.headers import mailbox
from worker.channels.mail.reply_to import guest_to_reply_to

HOST = mailbox("anna@platform.example", "Anna Muster")
SENDER = mailbox("b@mail.example", "Bücher")


@pytest.fixture
def reply_to(make_message):
    def found(**changes):
        return guest_to_reply_to(make_message(**changes), HOST, SENDER)

    return found


@pytest.fixture
def sent(mail_server, settings, make_message):
    def delivered(url="mailto:", options=None, **changes):
        place, server = mail_server()
        open_channel(url, settings(smtp_url=f"smtp://{place}", **(options or {}))).send(make_message(**changes))
        return server.mails[0]

    return delivered


def test_a_reply_reaches_the_guest(sent):
    assert sent()["Reply-To"] == "Jane Doe <jane@guests.example>"


def test_a_reply_reaches_the_guest_from_a_shared_address_too(sent):
    assert sent(url="mailto:ops@platform.example")["Reply-To"] == "Jane Doe <jane@guests.example>"


def test_the_guest_as_reply_to_can_be_turned_off(sent):
    assert sent(options={"mail_reply_to_guest": False})["Reply-To"] is None


def test_no_absence_note_goes_to_a_guest(sent):
    assert sent()["X-Auto-Response-Suppress"] == "OOF, AutoReply"


@pytest.mark.parametrize("kind", ["created", "rescheduled", "updated", "cancelled", "attendee_left"])
def test_a_mail_about_several_guests_has_no_guest_to_reply_to(kind, reply_to, guests):
    assert reply_to(kind=kind, attendees=list(guests)) is None


def test_a_mail_about_one_who_left_and_one_who_stays_has_no_guest_to_reply_to(reply_to, guests):
    jane, john = guests
    assert reply_to(kind="attendee_left", before={"attendees": [jane, john]}, attendees=[jane]) is None


def test_a_reply_reaches_the_only_guest_who_left(reply_to, guests):
    found = reply_to(kind="attendee_left", before={"attendees": [guests[0]]}, attendees=[])
    assert found.addr_spec == "jane@guests.example"


def test_a_summary_has_no_guest_to_reply_to(reply_to):
    assert reply_to(kind="summary", attendees=None) is None


@pytest.mark.parametrize(
    "email",
    [
        *("", "jane", "jane@", "@guests.example", "a@b@guests.example", "jane@localhost", "jane@127.0.0.1"),
        *("jane@guests.example, eve@evil.example", "jane@guests.example\r\nBcc: eve@evil.example"),
        *("<jane@guests.example>", "jane doe@guests.example", '"jane"@guests.example', "jane@[127.0.0.1]"),
        *("jürgen@guests.example", ".jane@guests.example", "ja..ne@guests.example", "jane.@guests.example"),
        *(
            "x" * 65 + "@guests.example",
            "jane@" + "x" * 10_000 + ".example",
            "j" * 20 + "@" + ".".join(["x" * 60] * 4) + ".de",
        ),
        *(
            "jane@guests.example?cc=eve@evil.example",
            "jane\N{RIGHT-TO-LEFT OVERRIDE}@guests\N{ZERO WIDTH SPACE}.example",
        ),
    ],
)
def test_an_address_that_a_server_could_refuse_is_left_out(email, reply_to, guests):
    assert reply_to(attendees=[guests[0] | {"email": email}]) is None


@pytest.mark.parametrize(
    ("email", "address"),
    [
        ("Jane.O'Neil+x@Guests.example", "Jane.O'Neil+x@Guests.example"),
        ("jane@bücher.example", "jane@xn--bcher-kva.example"),
        (" jane@guests.example\n", "jane@guests.example"),
    ],
)
def test_an_unusual_address_is_kept(email, address, reply_to, guests):
    assert reply_to(attendees=[guests[0] | {"email": email}]).addr_spec == address


@pytest.mark.parametrize("email", ["anna@platform.example", "ANNA@platform.example", "B@mail.example"])
def test_a_guest_with_the_address_of_recipient_or_sender_is_left_out(email, reply_to, guests):
    assert reply_to(attendees=[guests[0] | {"email": email}]) is None


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Jane Doe", "Jane Doe"),
        ("security@bank.example", ""),
        ("Jane\r\nBcc: eve", "Jane Bcc: eve"),
        ("x" * 10_000, "x" * 79 + "…"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}eoD", "eoD"),
    ],
)
def test_the_guests_name_cannot_pass_for_an_address(name, shown, reply_to, guests):
    assert reply_to(attendees=[guests[0] | {"fullname": name}]) == Address(shown, "jane", "guests.example")


def test_a_guests_name_adds_no_header(sent, guests):
    mail = sent(attendees=[guests[0] | {"fullname": "Eve\r\nBcc: victim@example.com"}])

    assert mail["Bcc"] is None
    assert [address.addr_spec for address in mail["Reply-To"].addresses] == ["jane@guests.example"]
