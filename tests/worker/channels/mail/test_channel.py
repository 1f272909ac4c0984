import ssl
from datetime import UTC, timedelta
from email.headerregistry import Address
from socket import create_server
from threading import Thread

import pytest
from pydantic import ValidationError

from runtime.errors import Permanent, Transient
from worker.channels import UnusableChannel, open_channel
from worker.channels.mail import smtp
from worker.channels.mail.branding import MailBranding
from worker.channels.mail.channel import MailChannel
from worker.channels.mail.composer import MailComposer
from worker.channels.mail.smtp import MailServer, ssl_context_for
from worker.channels.mail.templates import MailTemplates

COMPOSER = MailComposer(Address("", "b", "mail.example"), MailTemplates(MailBranding("", "#1a5fb4")))


@pytest.fixture
def deliver(mail_server, settings):
    """Send a message through a mail server of this process; return the server."""

    def delivered(message, refusals=None, url="mailto:", **parameters):
        place, server = mail_server(refusals, **parameters)
        open_channel(url, settings(smtp_url=f"smtp://{place}")).send(message)
        return server

    return delivered


def test_a_mail_has_text_html_and_the_invite_twice(deliver, make_message):
    mail = deliver(make_message()).mails[0]

    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "text/calendar",
        "application/ics",
    ]
    *_, calendar, attachment = mail.walk()
    assert calendar.get_param("method") == "REQUEST"
    assert calendar.get_payload(decode=True) == attachment.get_payload(decode=True)
    assert attachment.get_filename() == "invite.ics"


def test_a_mail_has_sender_recipient_and_the_auto_generated_header(deliver, make_message):
    server = deliver(make_message())

    mail = server.mails[0]
    assert mail["From"] == "Bücher <b@mail.example>"
    assert mail["To"] == "Anna Muster <anna@platform.example>"
    assert mail["Subject"] == "New booking: Discovery Call with Jane Doe (Thu, 15 Jan, 15:00)"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert (server.envelopes[0].mail_from, server.envelopes[0].rcpt_tos) == (
        "b@mail.example",
        ["anna@platform.example"],
    )


def test_every_attempt_sends_the_same_mail(deliver, make_message):
    first, second = (deliver(make_message()).mails[0] for _ in range(2))

    assert first["Message-ID"] == second["Message-ID"] == "<msg_0123456789abcdef0123456789abcdef@mail.example>"
    assert first["Date"].datetime.astimezone(UTC) == make_message().made_at
    assert [part.get_content() for part in first.walk() if not part.is_multipart()] == [
        part.get_content() for part in second.walk() if not part.is_multipart()
    ]


def test_the_mails_of_a_booking_are_one_conversation_and_a_summary_is_in_none(deliver, make_message):
    created, cancelled, summary = (
        deliver(message).mails[0]
        for message in (
            make_message(),
            make_message(kind="cancelled", status="cancelled"),
            make_message(kind="summary", bookings=[], total=0),
        )
    )

    assert created["References"] == cancelled["References"]
    assert created["References"].endswith("@mail.example>")
    assert summary["References"] is None


def test_a_line_that_begins_with_from_is_sent_as_it_is(deliver, make_message):
    mail = deliver(make_message(kind="summary", bookings=[], total=0)).mails[0]

    assert "\nFrom now on you are notified" in mail.get_body("plain").get_content()


def test_a_mail_without_a_known_start_has_no_invite(deliver, make_message):
    mail = deliver(make_message(starts_at=None)).mails[0]

    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


def test_names_cannot_add_headers(deliver, make_message, guests):
    evil = "Eve\r\nBcc: victim@example.com\r\n\r\nBody"
    server = deliver(
        make_message(host={"name": evil}, meeting_name=evil, attendees=[guests[0] | {"fullname": evil}], location=evil)
    )

    assert server.mails[0]["Bcc"] is None
    assert server.envelopes[0].rcpt_tos == ["anna@platform.example"]
    assert server.mails[0]["To"].addresses[0].display_name == "Eve Bcc: victim@example.com Body"


def test_all_mails_can_go_to_a_fixed_address(deliver, make_message):
    server = deliver(make_message(recipient="ops@platform.example"), url="mailto:ops@platform.example")

    assert server.envelopes[0].rcpt_tos == ["ops@platform.example"]
    text = server.mails[0].get_body("plain").get_content()
    assert not text.startswith("Hello")
    assert "Host: Anna Muster" in text


@pytest.mark.parametrize(
    ("url", "recipient"),
    [
        ("mailto:", None),
        ("mailto:ops@b.example", "ops@b.example"),
        ("MAILTO:ops%2Bx@b.example", "ops+x@b.example"),
    ],
)
def test_the_fixed_recipient_of_a_mail(url, recipient, settings):
    channel = open_channel(url, settings(smtp_url="smtp://localhost"))

    assert (channel.name, channel.recipient) == ("mailto", recipient)


@pytest.mark.parametrize(
    ("refusals", "failure", "said"),
    [
        ({"RCPT": "550 no such user anna@platform.example"}, Permanent, "the mail server refused the recipient (550)"),
        (
            {"RCPT": "550 5.1.1 no such user anna@platform.example"},
            Permanent,
            "the mail server refused the recipient (550 5.1.1)",
        ),
        (
            {"RCPT": "550 5.7.1 relaying denied"},
            Permanent,
            "the mail server refused the recipient (550 5.7.1)",
        ),
        ({"DATA": "554 5.7.1 spam"}, Permanent, "the mail server refused the message (554 5.7.1)"),
        ({"RCPT": "550 5.1.1anna@platform.example"}, Permanent, "the mail server refused the recipient (550)"),
        ({"RCPT": "450 greylisted"}, Transient, "the mail server refused the recipient (450)"),
        ({"MAIL": "553 b@mail.example is not yours"}, Permanent, "the mail server refused the sender (553)"),
        ({"MAIL": "451 later"}, Transient, "the mail server refused the sender (451)"),
        ({"MAIL": "530 log in first"}, Transient, "the mail server refused the sender (530)"),
        ({"MAIL": "503 AUTH first (#5.5.1)"}, Transient, "the mail server refused the sender (503)"),
        ({"RCPT": "503 this server requires authentication"}, Transient, "the mail server refused the recipient (503)"),
        (
            {"DATA": "550-5.4.5 Daily user sending limit exceeded.\r\n550 5.4.5 See"},
            Transient,
            "the mail server refused the message (550 5.4.5)",
        ),
        ({"RCPT": "550 5.4.5 quota"}, Transient, "the mail server refused the recipient (550 5.4.5)"),
        ({"DATA": "554 spam"}, Permanent, "the mail server refused the message (554)"),
        ({"DATA": "452 disk full"}, Transient, "the mail server refused the message (452)"),
    ],
)
def test_a_refusal_is_final_or_not_and_its_error_names_nobody(refusals, failure, said, deliver, make_message):
    with pytest.raises(failure) as raised:
        deliver(make_message(), refusals)

    assert str(raised.value) == said
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("reply", ["200 done", "220 queued", "251 forwarded", "252 will try"])
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
def test_any_reply_that_begins_with_2_is_a_success(command, reply, deliver, make_message):
    deliver(make_message(), {command: reply})


def test_an_error_on_quit_does_not_send_a_mail_twice(deliver, make_message):
    assert len(deliver(make_message(), {"QUIT": "500 what"}).mails) == 1


def test_a_mail_server_that_hangs_times_out(silent_server, make_message):
    server = MailServer(f"smtp://{silent_server}", timeout=timedelta(milliseconds=50))
    channel = MailChannel(server, COMPOSER)

    with pytest.raises(Transient, match=r"^the conversation with the mail server failed"):
        channel.send(make_message())


def test_a_server_that_waits_for_tls_is_named_by_its_port(silent_server, make_message, monkeypatch):
    monkeypatch.setattr(smtp, "TLS_PORT", int(silent_server.rpartition(":")[2]))
    server = MailServer(f"smtp://{silent_server}", timeout=timedelta(milliseconds=50))

    with pytest.raises(Transient, match="it did not answer in time; port 465 needs smtps:// in SMTP_URL"):
        MailChannel(server, COMPOSER).send(make_message())


def test_a_mail_server_that_is_down_is_retried(closed_port, settings, make_message):
    with pytest.raises(Transient, match=rf"mail server failed \(ConnectionRefusedError at {closed_port}\)$"):
        open_channel("mailto:", settings(smtp_url=f"smtp://{closed_port}")).send(make_message())


def test_a_mail_is_encrypted_if_the_server_offers_it(deliver, make_message, certificate):
    assert deliver(make_message(), tls_context=certificate).was_encrypted == [True]


def test_smtps_is_encrypted_from_the_first_byte(mail_server, settings, make_message, certificate):
    place, server = mail_server(ssl_context=certificate)

    open_channel("mailto:", settings(smtp_url=f"smtps://{place}")).send(make_message())

    assert len(server.mails) == 1


def test_certificates_are_verified_except_on_this_machine():
    assert ssl_context_for("mail.example.com").verify_mode == ssl.CERT_REQUIRED
    assert ssl_context_for("mail.example.com").check_hostname
    assert ssl_context_for("127.0.0.1").verify_mode == ssl.CERT_NONE
    assert ssl_context_for("localhost").verify_mode == ssl.CERT_NONE


def test_a_certificate_of_no_authority_is_not_trusted(mail_server, make_message, certificate, monkeypatch):
    place, server = mail_server(tls_context=certificate)
    monkeypatch.setattr("worker.channels.mail.smtp.is_loopback", lambda host: False)
    channel = MailChannel(MailServer(f"smtp://{place}"), COMPOSER)

    with pytest.raises(Transient, match=r"^the mail server's certificate cannot be trusted$"):
        channel.send(make_message())

    assert server.mails == []


def test_user_and_password_are_decoded_and_used(mail_server, settings, make_message, certificate):
    place, server = mail_server(tls_context=certificate, auth_required=True)

    open_channel("mailto:", settings(smtp_url=f"smtp://us%40er:p%3Ass%2F@{place}")).send(make_message())

    assert (server.logins[0].login, server.logins[0].password) == (b"us@er", b"p:ss/")
    assert len(server.mails) == 1


def test_a_wrong_password_is_retried(mail_server, settings, make_message, certificate):
    place, server = mail_server({"AUTH": "no"}, tls_context=certificate, auth_required=True)

    with pytest.raises(Transient, match=r"^the mail server did not accept our user and password$"):
        open_channel("mailto:", settings(smtp_url=f"smtp://user:pa55@{place}")).send(make_message())

    assert server.mails == []


def test_a_server_that_takes_no_password_is_named(mail_server, settings, make_message, certificate):
    place, _ = mail_server(tls_context=certificate, auth_exclude_mechanism=["LOGIN", "PLAIN"])

    with pytest.raises(Transient, match=r"^the mail server takes no password, only: XOAUTH2$"):
        open_channel("mailto:", settings(smtp_url=f"smtp://user:pa55@{place}")).send(make_message())


def test_tls_from_the_first_byte_on_a_port_without_it_is_named(mail_server, settings, make_message):
    place, _ = mail_server()

    with pytest.raises(Transient, match=r"does not speak TLS as SMTP_URL says: smtps:// is usual on port 465"):
        open_channel("mailto:", settings(smtp_url=f"smtps://{place}")).send(make_message())


def test_a_server_that_is_closed_is_retried(make_message):
    def refuse(listener):
        with listener.accept()[0] as connection:
            connection.sendall(b"554 5.3.2 not today\r\n")

    with create_server(("127.0.0.1", 0)) as listener:
        Thread(target=refuse, args=[listener], daemon=True).start()
        channel = MailChannel(MailServer(f"smtp://127.0.0.1:{listener.getsockname()[1]}"), COMPOSER)

        with pytest.raises(Transient, match=r"^the mail server refused the conversation \(554 5\.3\.2\)$"):
            channel.send(make_message())


def test_a_password_is_not_sent_unencrypted(mail_server, make_message, monkeypatch):
    place, server = mail_server(auth_require_tls=False)
    monkeypatch.setattr("worker.channels.mail.smtp.is_loopback", lambda host: False)
    channel = MailChannel(MailServer(f"smtp://user:pa55@{place}"), COMPOSER)

    with pytest.raises(Transient, match="offers no encryption"):
        channel.send(make_message())

    assert (server.logins, server.mails) == ([], [])


def test_a_non_ascii_address_goes_to_servers_that_accept_it(deliver, make_message):
    server = deliver(make_message(recipient="jürgen@bücher.example"))

    assert server.envelopes[0].rcpt_tos == ["jürgen@xn--bcher-kva.example"]
    assert "SMTPUTF8" in server.envelopes[0].mail_options


def test_a_non_ascii_address_is_final_if_the_server_does_not_accept_it(deliver, make_message):
    with pytest.raises(Permanent, match="non-ASCII addresses"):
        deliver(make_message(recipient="jürgen@bücher.example"), enable_SMTPUTF8=False)


def test_a_non_ascii_domain_needs_no_special_server(deliver, make_message):
    server = deliver(make_message(recipient="anna@bücher.example"), enable_SMTPUTF8=False)

    assert server.envelopes[0].rcpt_tos == ["anna@xn--bcher-kva.example"]


@pytest.mark.parametrize("address", ["anna@mail.example   ", " anna@mail.example", "anna@mail.example\r\n"])
def test_blanks_around_an_address_do_not_count(address, deliver, make_message):
    server = deliver(make_message(recipient=address))

    assert server.envelopes[0].rcpt_tos == ["anna@mail.example"]
    assert server.mails[0]["To"].addresses[0].addr_spec == "anna@mail.example"


@pytest.mark.parametrize(
    "address", ["nobody", "a@b, c@d", "a@b\r\nRCPT TO:<c@d>", "<a@b>", "@b", "a@", "a@" + "x" * 70]
)
def test_a_malformed_address_is_final_and_not_quoted(address, deliver, make_message):
    with pytest.raises(Permanent, match=r"^the recipient's e-mail address is malformed$"):
        deliver(make_message(recipient=address))


@pytest.mark.parametrize("smtp_url", ["smtp://", "smtp://user:s3cret/x@host", "smtp://host:s3cret"])
def test_a_malformed_mail_server_url_is_rejected(smtp_url, settings):
    with pytest.raises(ValidationError) as failure:
        settings(smtp_url=smtp_url)

    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize("smtp_url", ["", "smtp://ü:p@host"])
def test_without_a_valid_mail_server_the_error_names_the_setting(smtp_url, settings):
    with pytest.raises(UnusableChannel, match="set SMTP_URL to") as failure:
        open_channel("mailto:", settings(smtp_url=smtp_url))

    assert "s3cret" not in str(failure.value)


@pytest.mark.parametrize("mail_from", ["", "Bookings", "a@b, c@d", "a@b, Bookings <c@d>"])
def test_without_a_valid_sender_the_error_names_the_setting(mail_from, settings):
    with pytest.raises(UnusableChannel, match="set MAIL_FROM to"):
        open_channel("mailto:", settings(smtp_url="smtp://localhost", mail_from=mail_from))


@pytest.mark.parametrize(
    "url", ["mailto://user:s3cret@gmail.com", "mailto://s3cret@gmail.com", "mailto:ops", "mailto:a@b?subject=x"]
)
def test_an_invalid_mailto_url_is_rejected_without_being_quoted(url, settings):
    with pytest.raises(UnusableChannel, match="write 'mailto:' for each host's own address") as failure:
        open_channel(url, settings(smtp_url="smtp://localhost"))

    assert "s3cret" not in str(failure.value)
