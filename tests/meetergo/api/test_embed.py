"""The embed code for a platform's page."""

from html.parser import HTMLParser

import pytest

from meetergo.api import embed_code
from meetergo.api.errors import InvalidCall


def attributes(code: str) -> dict[str, str | None]:
    found: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Reader().feed(code)
    [(tag, read)] = found
    assert tag == "iframe"
    return read


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://cal.meetergo.com/the-host/30min", "https://cal.meetergo.com/the-host/30min?embed=true"),
        ("https://book.example.com/x?lang=de&a=1", "https://book.example.com/x?lang=de&a=1&embed=true"),
        ("https://book.example.com/x?embed=false", "https://book.example.com/x?embed=true"),
        ("https://book.example.com/x?a=1#top", "https://book.example.com/x?a=1&embed=true#top"),
        ("http://127.0.0.1:9000/x", "http://127.0.0.1:9000/x?embed=true"),
    ],
)
def test_embed_extends_the_query_of_the_url(url: str, source: str) -> None:
    assert attributes(embed_code(url))["src"] == source


def test_values_cannot_break_out_of_the_html() -> None:
    title, url = """Book "The Host" <b>&'</b>""", 'https://book.example.com/"><script>alert(1)</script>?a="&b=\'<'
    read = attributes(embed_code(url, title=title, width='"><x', height=500))
    assert (read["title"], read["width"], read["height"]) == (title, '"><x', "500")
    assert set(read) == {"src", "width", "height", "title", "allow", "style"}


@pytest.mark.parametrize(
    "url", ["", "x", "javascript:alert(1)", "data:text/html,x", "http://example.com/", "https:///x", "https://x:port"]
)
def test_only_a_web_url_is_embedded(url: str) -> None:
    with pytest.raises(InvalidCall):
        embed_code(url)
