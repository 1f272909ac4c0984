"""Embed code: HTML that shows a meetergo booking page on a page of the platform."""

from html import escape

import httpx

from meetergo.api.errors import InvalidCall
from meetergo.api.network import is_public_host

DEFAULT_HEIGHT = 700


def embed_code(booking_url: str, *, title: str = "", width: str = "100%", height: int = DEFAULT_HEIGHT) -> str:
    """Return an iframe, safe to insert into HTML.

    Args:
        booking_url: as meetergo returned it; it cannot be built, since companies have their own domains.
        title: description for screen readers.
        width: as in HTML.
        height: in pixels.

    Raises:
        InvalidCall: the URL is not safe to open in a browser.
    """
    try:
        url = httpx.URL(booking_url)
    except httpx.InvalidURL:
        raise InvalidCall("a booking address should be a URL, as meetergo gave it") from None
    if not url.host or url.scheme not in ("https", "http") or (url.scheme == "http" and is_public_host(url.host)):
        raise InvalidCall("a booking address should begin with https")
    source = url.copy_set_param("embed", "true")
    attributes = {"src": source, "width": width, "height": height, "title": title, "allow": "payment"}
    written = " ".join(f'{name}="{escape(str(value))}"' for name, value in attributes.items())
    return f'<iframe {written} style="border: 0"></iframe>'
