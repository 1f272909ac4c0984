"""The platform's name, colour and logo in mails."""

import struct
import zlib

import pytest
from pydantic import ValidationError

from worker.channels import UnusableChannel, open_channel
from worker.channels.mail.branding import MAX_LOGO_BYTES, InvalidBranding, Logo, MailBranding, contrast
from worker.services import build_services
from worker.start import exit_on_bad_setting

JPEG = b"\xff\xd8\xff"


def png(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    comment = b"\xff\xfe" + struct.pack(">H", 6) + b"\xff\xc0xx"
    return b"\xff\xd8" + comment + b"\xff\xc2" + struct.pack(">HBHH", 11, 8, height, width) + b"\1\1\x11\0\xff\xd9"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0;"


@pytest.fixture
def logo(tmp_path):
    def written(content, name="logo.png"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return written


@pytest.fixture
def sent(mail_server, settings, make_message):
    def delivered(**options):
        place, server = mail_server()
        open_channel("mailto:", settings(smtp_url=f"smtp://{place}", **options)).send(make_message())
        return server.mails[0]

    return delivered


@pytest.mark.parametrize("color", ["#1a5fb4", "#1A5FB4", "1a5fb4"])
def test_a_colour_is_hexadecimal(color, settings):
    assert settings(mail_color=color).mail_color == "#1a5fb4"


def test_a_colour_may_be_short(settings):
    assert settings(mail_color="#Fa0").mail_color == "#ffaa00"


@pytest.mark.parametrize("color", ["red", "#12345", "#1a5fb4;", "#1a5fb4\n", "rgb(0,0,0)", "#ggg", "##fff", "#١٢٣"])
def test_any_other_colour_is_rejected(color, settings):
    with pytest.raises(ValidationError, match=r"it should be a colour such as '#1a5fb4'"):
        settings(mail_color=color)


@pytest.mark.parametrize(
    "color",
    [
        f"#{red}{green}{blue}"
        for red in ("00", "77", "ff")
        for green in ("00", "88", "ff")
        for blue in ("00", "99", "ff")
    ],
)
def test_the_text_on_every_colour_is_easy_to_read(color):
    branding = MailBranding("", color)

    assert contrast(branding.text_color, color) >= 4.5
    assert contrast(branding.outline, "#ffffff") >= 1.5
    assert contrast(branding.dark_outline, "#202124") >= 1.5


def test_the_contrast_of_black_and_white():
    assert round(contrast("#000000", "#ffffff"), 2) == 21
    assert contrast("#777777", "#777777") == 1


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (png(400, 80), ("png", 200, 40)),
        (jpeg(100, 200), ("jpeg", 20, 40)),
        (gif(16, 16), ("gif", 16, 16)),
        (png(10_000, 1), ("png", 200, 1)),
    ],
)
def test_a_logo_is_shown_at_a_modest_size(content, shown, logo):
    found = Logo.read(logo(content))

    assert (found.subtype, found.width, found.height) == shown


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        png(0, 0),
        png(9, 9)[:18],
        gif(1, 1)[:7],
        b"\xff\xd8\xff" + b"\0" * 50,
    ],
)
def test_a_file_that_mails_cannot_show_is_rejected(content, logo):
    with pytest.raises(InvalidBranding, match=r"^MAIL_LOGO cannot be used: .* is not a PNG, JPEG or GIF image"):
        Logo.read(logo(content))


def test_a_large_logo_is_rejected(logo):
    with pytest.raises(InvalidBranding, match="has more than 100 KB"):
        Logo.read(logo(png(9, 9) + b"x" * MAX_LOGO_BYTES))


@pytest.mark.parametrize("path", ["nowhere.png", "x" * 5000])
def test_a_logo_that_cannot_be_read_is_rejected(path):
    with pytest.raises(InvalidBranding, match=r"^MAIL_LOGO cannot be used: .* cannot be read \("):
        MailBranding.of("", "#000000", path)


@pytest.mark.parametrize("path", [".", "/dev/null", "/dev/zero"])
def test_a_logo_that_is_no_file_is_rejected(path):
    with pytest.raises(InvalidBranding, match=r"^MAIL_LOGO cannot be used: .* is not a file"):
        MailBranding.of("", "#000000", path)


def test_the_logo_is_part_of_the_mail(sent, logo):
    content = png(400, 80)
    mail = sent(mail_logo=str(logo(content)), mail_name="Muster")

    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "text/calendar",
        "application/ics",
    ]
    [image] = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    assert image.get_content() == content
    assert image.get_content_disposition() == "inline"
    html = mail.get_body("html").get_content()
    assert f'src="{image["Content-ID"].strip("<>").join(["cid:", ""])}" width="200" height="40" alt="Muster"' in html


def test_a_template_without_the_logo_sends_none(sent, logo, tmp_path):
    (tmp_path / "message.html").write_text("<p>{{ title }}</p>")
    mail = sent(mail_logo=str(logo(png(9, 9))), mail_templates=str(tmp_path))

    assert "image/png" not in [part.get_content_type() for part in mail.walk()]


def test_the_name_is_that_of_the_sender_unless_it_is_set(sent):
    assert ">Bücher</p>" in sent().get_body("html").get_content()
    assert ">Muster</p>" in sent(mail_name="Muster").get_body("html").get_content()


def test_a_sender_without_a_name_has_the_platforms(sent):
    assert sent(mail_from="b@mail.example", mail_name="Muster, Inc.")["From"] == '"Muster, Inc." <b@mail.example>'
    assert sent(mail_name="Muster")["From"] == "Bücher <b@mail.example>"


def test_markup_in_the_name_is_text(sent):
    assert "<b>Muster" not in sent(mail_name="<b>Muster").get_body("html").get_content()


@pytest.mark.parametrize(
    ("name", "reason"), [("mail_logo", "MAIL_LOGO cannot be used"), ("mail_templates", "MAIL_TEMPLATES cannot be used")]
)
def test_a_look_that_cannot_be_used_stops_the_worker_at_start(name, reason, settings, capsys, tmp_path):
    usual = settings(**{name: str(tmp_path / "nowhere")})

    with pytest.raises(SystemExit) as stopped:
        exit_on_bad_setting(lambda: build_services(usual))
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert said.startswith(reason)
    assert said.count("\n") == 1


def test_a_channel_with_a_look_that_cannot_be_used_says_so(settings, tmp_path):
    with pytest.raises(UnusableChannel, match="MAIL_TEMPLATES cannot be used"):
        open_channel("mailto:", settings(smtp_url="smtp://localhost", mail_templates=str(tmp_path / "nowhere")))
