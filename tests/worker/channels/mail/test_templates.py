"""What a mail shows, with our templates and with those of a platform."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from worker.channels.mail.branding import InvalidBranding, MailBranding
from worker.channels.mail.templates import KINDS, MailTemplates
from worker.channels.text.message_text import MessageText
from worker.channels.text.samples import sample_messages

NOW = datetime(2026, 1, 13, 8, tzinfo=UTC)
BRANDING = MailBranding("Muster & Partner", "#1a5fb4")
HOSTILE = [
    '<img src=x onerror="alert(1)">',
    "</td></table><script>alert(1)</script>",
    "{{ 7 * 7 }}{% include 'x' %}",
    "Click https://evil.example/now or www.evil.example",
    "Eve\r\nBcc: victim@example.com\r\n\r\n<b>Body</b>",
    "\N{RIGHT-TO-LEFT OVERRIDE}gro.elpmaxe@live\x00\x1b[31m",
    "<b>" + "x" * 10_000,
]


@pytest.fixture
def templates(tmp_path):
    """Open templates of a platform, given as name -> source."""

    def opened(**sources):
        folder = tmp_path / "templates"
        folder.mkdir(exist_ok=True)
        for name, source in sources.items():
            (folder / re.sub(r"_(html|txt)$", r".\1", name).replace("_subject", ".subject")).write_text(source)
        return MailTemplates.open(BRANDING, str(folder))

    return opened


@pytest.fixture
def render(make_message):
    def rendered(templates=None, is_personal=True, **changes):
        message = make_message(**changes)
        text = MessageText.render(message, is_personal=is_personal)
        return (templates or MailTemplates(BRANDING)).render(message, text)

    return rendered


def hostile(guests, evil):
    """Return the arguments of a message that has hostile text in every field."""
    guest = dict.fromkeys(guests[0], evil)
    fields = ("meeting_name", "location", "meeting_link", "cancel_reason", "cancelled_by")
    return {
        "host": {"name": evil, "external_id": evil},
        "before": {"attendees": [guest | {"id": "2"}]},
        "attendees": [guest],
        "metadata": {evil: evil},
        "bookings": [{"id": "b", "meeting_name": evil}],
        "total": 1,
    } | dict.fromkeys(fields, evil)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("evil", HOSTILE)
def test_what_a_guest_typed_is_only_text(kind, evil, render, guests):
    body = render(kind=kind, **hostile(guests, evil))

    tags = re.findall(r"<(\w+)", body.html)
    assert set(tags) <= set("html head meta title style body table tr td p div".split())  # noqa: SIM905
    assert "href" not in body.html
    assert "\n" not in body.subject
    for content in (body.html, body.text):
        assert "evil.example" not in content.replace("live@example.org", "")
        assert "{{ 7" not in content or "49" not in content
        assert not re.search("[\x00\x1b\u202e\r]", content)
    assert max(map(len, body.text.splitlines())) < 2100 * 4


def test_guests_text_is_escaped_in_html(render, guests):
    assert "&lt;img src=x onerror=" in render(**hostile(guests, HOSTILE[0])).html


def test_a_web_link_is_clickable_and_a_button(render):
    html = render().html

    assert '<a href="https://zoom.example/j/123?pwd=a&amp;b=c">https://zoom.example/j/123?pwd=a&amp;b=c</a>' in html
    assert re.search(
        r'<a class="button" href="https://zoom\.example/j/123\?pwd=a&amp;b=c"[^>]*>Join the meeting</a>', html
    )


def test_a_cancelled_meeting_has_no_button(render):
    assert 'class="button"' not in render(kind="cancelled").html


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


def test_our_mail_loads_nothing_from_elsewhere(render):
    html = render().html

    assert re.findall(r'(?:src|href|url)[=(]"?([^"\s>]*)', html) == ["https://zoom.example/j/123?pwd=a&amp;b=c"] * 2


def test_the_mail_has_the_platforms_name_and_colour(render):
    html = render().html

    assert "Muster &amp; Partner</p>" in html
    assert "border-top: 4px solid #1a5fb4" in html


def test_a_template_replaces_ours_and_only_that(templates, render):
    own = templates(message_html="<h1>{{ title }}</h1>{% for row in rows %}<p>{{ row.label }}</p>{% endfor %}")

    body, ours = render(own), render()
    assert body.html.startswith("<h1>Discovery Call with Jane Doe</h1><p>What</p>")
    assert (body.subject, body.text) == (ours.subject, ours.text)


def test_a_template_can_be_of_one_kind(templates, render):
    own = templates(
        cancelled_txt="Off: {{ booking.meeting }} ({{ booking.reason }})", cancelled_subject_txt="Off: {{ title }}"
    )

    cancelled = render(own, kind="cancelled", cancel_reason="ill")
    assert (cancelled.subject, cancelled.text) == ("Off: Discovery Call with Jane Doe", "Off: Discovery Call (ill)")
    assert render(own) == render()


def test_a_template_can_extend_ours_and_include_its_own(templates, render):
    own = templates(
        message_html='{% extends "default/message.html" %}{% block footer %}{% include "_legal.html" %}{% endblock %}',
        _legal_html="<p>Muster GmbH, Wien</p>",
    )

    html = render(own).html
    assert "<p>Muster GmbH, Wien</p>" in html
    assert "This message was sent automatically" not in html
    assert "Discovery Call with Jane Doe" in html


def test_a_subject_is_one_line(templates, render):
    own = templates(subject_txt="Booking:\n  {{ title }}\n\n")

    assert render(own, meeting_name="a\r\nBcc: x@y.example").subject == "Booking: a Bcc: x@y.example with Jane Doe"


@pytest.mark.parametrize(
    "source",
    [
        "{{ title }}{{ guests[0].name }}{{ booking.location }}{{ booking.metadata.get('x') }}{{ host.name }}",
        "<a href='{{ link }}'>{{ greeting }}</a>{% set x %}{{ title }}{% endset %}{{ x }}",
        "{{ title | replace('&lt;', '<') }}{{ title | forceescape }}{{ (title ~ '') | striptags }}",
        '{% include "message.txt" %}',
    ],
)
@pytest.mark.parametrize("evil", HOSTILE)
def test_a_platforms_template_cannot_let_text_become_markup(source, evil, templates, render, guests):
    own = templates(message_html=source.replace("guests[0].name", "guests[0].name if guests else ''"))

    html = render(own, **hostile(guests, evil)).html
    assert not set(re.findall(r"<(\w+)", html)) & {"img", "script", "b"}
    assert "evil.example" not in html


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("<p>\n{{ title }", r"message\.html, line 2: unexpected '\}'$"),
        ("<p>\n\n{% if title %}x", r"message\.html, line 3: .*'if'"),
        ("<p>\n{{ guest_name }}", r"message\.html, line 2: 'guest_name' is undefined"),
        ("{{ booking.metadata.case }}", r"message\.html, line 1: .* has no attribute 'case'"),
        ("\n{{ title | safe }}", r"message\.html, line 2: No filter named 'safe'"),
        (
            "\n{% autoescape false %}{{ title }}{% endautoescape %}",
            r"message\.html, line 2: autoescape cannot be switched",
        ),
        ("{{ title.__class__.__mro__ }}", r"message\.html, line 1: access to attribute '__class__'"),
        ('\n{% include "_none.html" %}', r"message\.html, line 2: there is no template _none\.html"),
        ('{% extends "../../etc/passwd" %}', r"message\.html, line 1: there is no template \.\./\.\./etc/passwd"),
        ("{{ 1 / 0 }}", r"message\.html, line 1: division by zero"),
    ],
)
def test_a_broken_template_is_found_at_start_with_file_and_line(source, reason, templates):
    with pytest.raises(InvalidBranding, match=f"^MAIL_TEMPLATES cannot be used: {reason}"):
        templates(message_html=source)


@pytest.mark.parametrize("source", ["", " \n", "{% if kind == 'created' %}x{% endif %}"])
def test_an_empty_subject_is_found_at_start(source, templates):
    with pytest.raises(InvalidBranding, match="the subject is empty"):
        templates(subject_txt=source)


def test_autoescape_cannot_be_switched_in_a_folder_below_either(templates, tmp_path):
    templates()
    (tmp_path / "templates" / "parts").mkdir()
    (tmp_path / "templates" / "parts" / "end.html").write_text("\n{% autoescape false %}x{% endautoescape %}")

    with pytest.raises(InvalidBranding, match=r"parts/end\.html, line 2: autoescape cannot be switched"):
        templates(message_html='{% include "parts/end.html" %}')


def test_an_error_in_an_included_template_names_that_one(templates):
    with pytest.raises(InvalidBranding, match=r"_part\.html, line 2: 'nothing' is undefined"):
        templates(message_html='{% include "_part.html" %}', _part_html="\n{{ nothing }}")


def test_a_template_that_replaces_nothing_is_found(templates):
    with pytest.raises(InvalidBranding, match=r"mesage\.html replaces nothing\. The names are subject\.txt"):
        templates(mesage_html="x")


def test_a_layout_that_templates_extend_may_have_any_name(templates, render):
    own = templates(layout_html="<i>{% block x %}{% endblock %}</i>", message_html='{% extends "layout.html" %}')

    assert render(own).html == "<i></i>"


def test_a_template_that_is_not_utf_8_is_found(templates, tmp_path):
    templates()
    (tmp_path / "templates" / "message.txt").write_bytes("Grüße".encode("latin-1"))

    with pytest.raises(InvalidBranding, match=r"message\.txt is not UTF-8"):
        templates()


@pytest.mark.parametrize("folder", ["/nowhere/at/all", __file__, "x" * 10_000, "\0"])
def test_a_folder_that_is_none_is_found(folder):
    with pytest.raises(InvalidBranding, match=r"^MAIL_TEMPLATES cannot be used: "):
        MailTemplates.open(BRANDING, folder)


def test_files_that_are_no_templates_are_left_alone(templates, render, tmp_path):
    templates()
    (tmp_path / "templates" / "README.md").write_text("{{ no template")

    assert render(templates()) == render()


def test_a_template_that_fails_for_one_message_is_replaced_by_ours(templates, render):
    own = templates(message_html="\n{{ guests[0].name[5000] if booking.meeting == 'Odd' else title }}")

    with capture_logs() as logs:
        html = render(own, meeting_name="Odd").html
    assert html == render(meeting_name="Odd").html
    assert [(line["event"], line["template"], line["error"]) for line in logs] == [
        ("mail.template_failed", "message.html, line 2", "UndefinedError")
    ]


def test_a_change_of_a_file_has_no_effect_until_the_next_start(templates, render):
    own = templates(message_html="<p>old</p>")
    assert render(own).html == "<p>old</p>"

    with pytest.raises(InvalidBranding):
        templates(message_html="{{ broken")
    assert render(own).html == "<p>old</p>"


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_variables_of_every_kind_are_documented(language):
    page = (Path(__file__).parents[4] / "docs" / "mail.md").read_text()
    from worker.channels.mail.variables import body_variables

    for message in sample_messages(NOW, language).values():
        variables = body_variables(message, MessageText.render(message, is_personal=True), BRANDING)
        names = set(variables) | {f"booking.{name}" for name in variables["booking"]}
        names |= {f"host.{name}" for name in variables["host"]} | {f"brand.{name}" for name in variables["brand"]}
        assert not [name for name in names if f"`{name}`" not in page]


def test_a_kind_without_an_owner_renders_too(templates):
    own = templates(message_txt="{{ host.name }}{{ greeting }}")

    for message in sample_messages(NOW).values():
        message = replace(message, host=None)
        assert own.render_strictly(message, MessageText.render(message, is_personal=False)).text == ""
