"""Mail headers, byte by byte: a name never becomes an address."""

import re
from email import message_from_bytes, message_from_string
from email.header import decode_header, make_header
from email.policy import SMTP, compat32
from email.utils import getaddresses
from itertools import chain

import pytest

from runtime.errors import Permanent
from worker.channels import open_channel
from worker.channels.mail.headers import address_header, mailbox, text_header

NAMES = [
    "Smith, Jones, Miller, Brown, Davis, Wilson, Moore, Taylor, Anderson, Thomas, X",
    "Kanzlei Musterhausen und Partner mbB, Bonn, Koeln <evil@example.org>, Berlin",
    "a, evil@example.org, b" + " c" * 25,
    'Anna "the <evil@example.org>, host" \\Muster, and so on and on and on and on and on and on',
    "Müller, Köln <evil@example.org>, und noch viele weitere Namen, bis die Zeile lang ist",
    "=?utf-8?q?=3Cevil=40example=2Eorg=3E=2C?=",
    "group: evil@example.org;",
    "(comment) evil@example.org (comment",
    "x" * 300,
    "ü" * 300,
    "Eve\r\nBcc: evil@example.org\r\n\r\nBody",
    "Eve\x0bBcc\x0c: evil@example.org\x85x\u2028y",
    "Dr. Anna Muster",
    "日本語 の 名前, " * 8,
    "\N{RIGHT-TO-LEFT OVERRIDE}gro.elpmaxe@live",
    "O'Hara",
    "",
]


@pytest.fixture
def raw(mail_server, settings, make_message):
    def sent(url="mailto:", mail_from="b@mail.example", parameters=None, **changes):
        place, server = mail_server(**(parameters or {}))
        open_channel(url, settings(smtp_url=f"smtp://{place}", mail_from=mail_from)).send(make_message(**changes))
        return server.envelopes[0].content, server.envelopes[0]

    return sent


def header(content: bytes, name: str) -> bytes:
    """Return a header as in the mail, unfolded."""
    head = content.partition(b"\r\n\r\n")[0]
    found = re.search(rb"^%s: ([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)" % name.encode(), head, re.MULTILINE)
    return found[1].replace(b"\r\n", b"")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_does_not_become_an_address(name, raw):
    content, envelope = raw(host={"name": name})

    to = header(content, "To").decode("ascii")
    assert [address for _, address in getaddresses([to])] == ["anna@platform.example"]
    parsed = message_from_bytes(content, policy=compat32)
    assert [address for _, address in getaddresses([str(parsed["To"])])] == ["anna@platform.example"]
    assert envelope.rcpt_tos == ["anna@platform.example"]
    assert parsed["Bcc"] is None
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))


@pytest.mark.parametrize("name", [name for name in NAMES if name.isprintable() and len(name) <= 80])
def test_a_name_is_preserved(name, raw):
    content, _ = raw(host={"name": name})

    [(shown, _)] = getaddresses([header(content, "To").decode()])
    assert str(make_header(decode_header(shown))) == " ".join(name.split())


def test_a_name_with_commas_is_quoted(raw):
    content, _ = raw(host={"name": NAMES[0]})

    assert header(content, "To") == f'"{NAMES[0]}" <anna@platform.example>'.encode()


def test_the_senders_name_does_not_become_an_address(raw):
    content, envelope = raw(
        mail_from='"Smith, Jones, Miller, Brown, Davis, Wilson, Moore, Taylor, <evil@example.org>" <b@mail.example>'
    )

    assert [address for _, address in getaddresses([header(content, "From").decode()])] == ["b@mail.example"]
    assert envelope.mail_from == "b@mail.example"


@pytest.mark.parametrize(
    "name",
    ["Smith, Jones", "Müller: Recht; Köln", "Smith & Jones [Bonn]", "Kanzlei (Bonn)", "Dr. Muster | Partner", '"A, B"'],
)
def test_the_senders_name_needs_no_quotes(name, raw):
    content, envelope = raw(mail_from=f"{name} <b@mail.example>")

    [(phrase, address)] = getaddresses([header(content, "From").decode()])
    assert (str(make_header(decode_header(phrase))), address) == (name.strip('"'), "b@mail.example")
    assert envelope.mail_from == "b@mail.example"


@pytest.mark.parametrize("address", ["b@mail.example (office)", " b @ mail.example "])
def test_the_senders_address_may_have_blanks_and_a_comment(address, raw):
    content, envelope = raw(mail_from=f"Smith, Jones <{address}>")
    assert (header(content, "From"), envelope.mail_from) == (b'"Smith, Jones" <b@mail.example>', "b@mail.example")


def subjects(length: int) -> list[str]:
    """Return subjects of one length: of one word, of many, and such as need an encoding."""
    texts = (
        "New booking: " + "x" * length,
        "x" * length,
        "a " + "x" * length,
        "New booking: Discovery Call with Jane Doe (Thu, 15 Jan, 15:00) " * 9,
        "Neue Buchung: " + "Erstgespräch über Größe " * 20,
        "ü" * length,
        "日本語" * length,
        "\N{PARTY POPPER}" * length,
        "=?utf-8?q?x?= " + "y" * length,
    )
    return [text[:length].strip() for text in texts]


def test_no_subject_begins_with_an_empty_line():
    for text in chain.from_iterable(map(subjects, range(40, 201))):
        raw = text_header("Subject", text).fold(policy=SMTP)

        first, *rest = raw.removesuffix("\r\n").split("\r\n")
        assert first.removeprefix("Subject:").strip()
        assert all(line.startswith(" ") and line.strip() for line in rest)
        assert all(len(line) <= 998 for line in (first, *rest))
        assert message_from_string(raw, policy=SMTP)["Subject"] == text


@pytest.mark.parametrize("length", [57, 60, 63, 77, 78, 79, 200])
@pytest.mark.parametrize("character", ["x", "ü"])
def test_a_sent_subject_begins_on_its_first_line(length, character, raw):
    content, _ = raw(meeting_name=character * length)

    assert re.search(rb"^Subject: \S", content, re.MULTILINE)


@pytest.mark.parametrize(
    ("address", "encoded"),
    [
        ("info@straße.example", "info@xn--strae-oqa.example"),
        ("info@STRASSE.example", "info@STRASSE.example"),
        ("info@Bücher.example", "info@xn--bcher-kva.example"),
        ("info@bu\u0308cher.example", "info@xn--bcher-kva.example"),
        ("info@βόλος.example", "info@xn--nxasmm1c.example"),
        ("info@हिन्दी.example", "info@xn--j2bd4cyah0f.example"),
        ("info@xn--strae-oqa.example", "info@xn--strae-oqa.example"),
        ("info@my_host.r3---sn.example", "info@my_host.r3---sn.example"),
    ],
)
def test_a_domain_follows_idna_2008(address, encoded):
    assert mailbox(address).addr_spec == encoded


@pytest.mark.parametrize(
    "domain",
    [
        "\N{FULLWIDTH LATIN SMALL LETTER E}xample.com",
        "a\N{TELEPHONE SIGN}.example",
        "a\N{IDEOGRAPHIC FULL STOP}example",
        "a..example",
        ".example",
        "example.",
        "-a.example",
        "a-.example",
        "☃.example",
        "ü" * 64 + ".example",
        "a" * 64 + ".example",
        "\N{ZERO WIDTH SPACE}a.example",
        "xn--\xfc.example",
        "[127.0.0.1]",
        "a b.example",
        "exa\N{RIGHT-TO-LEFT OVERRIDE}mple.com",
        "a.example>",
        ".".join(["a" * 60] * 5),
    ],
)
def test_an_invalid_domain_is_malformed(domain, raw):
    with pytest.raises(Permanent, match=r"^the recipient's e-mail address is malformed$"):
        raw(host={"email": f"info@{domain}"}, recipient=f"info@{domain}")


def test_mail_is_7_bit_with_short_lines_ending_in_crlf(raw, guests):
    odd = guests[0] | {"fullname": "Jürgen\nGroß"}
    content, envelope = raw(
        attendees=[odd],
        meeting_name="Gespräch\n.\nund mehr",
        location="x" * 1900,
        cancel_reason="\r\n.\r\n",
        host={"name": "Ä" * 60},
    )

    assert all(byte < 128 for byte in content)
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", content)
    assert "SMTPUTF8" not in envelope.mail_options


def test_a_server_without_8bitmime_gets_7_bit_mail(raw, monkeypatch):
    from aiosmtpd.smtp import SMTP

    push = SMTP.push

    async def without_8bitmime(server, status):
        text = status.decode() if isinstance(status, bytes) else status
        if "8BITMIME" not in text:
            await push(server, status)

    monkeypatch.setattr(SMTP, "push", without_8bitmime)
    content, envelope = raw(host={"name": "Jürgen Groß", "language": "de"}, parameters={"enable_SMTPUTF8": False})

    assert all(byte < 128 for byte in content)
    assert envelope.mail_options == [each for each in envelope.mail_options if not each.startswith("BODY")]


def test_an_address_that_needs_utf8_is_sent_with_it(raw):
    content, envelope = raw(recipient="jürgen@bücher.example", host={"name": "Groß, Jürgen"})

    assert "SMTPUTF8" in envelope.mail_options
    assert [each for _, each in getaddresses([header(content, "To").decode()])] == ["jürgen@xn--bcher-kva.example"]


def test_an_address_without_a_name_is_an_address():
    assert address_header("To", mailbox("a@b.example")) == "a@b.example"
