"""Markers: words that occur nowhere else, so that whoever finds one knows what leaked."""

import secrets
from base64 import b64encode

LENGTH = 40


class Markers:
    """Makes them, remembers them, finds them."""

    def __init__(self) -> None:
        self.planted: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """A word of lower-case letters and digits that is also base64; the same for the same name."""
        if name not in self.planted:
            self.planted[name] = f"mk{name}".ljust(LENGTH - 12, "x") + secrets.token_hex(6)
        return self.planted[name]

    def plant(self, name: str, text: str) -> str:
        """Remembers something that is secret as it is."""
        self.planted[name] = text
        return text

    def found_in(self, content: str | bytes) -> list[str]:
        """Names of what is there, however its letters are written, in base64 too."""
        text = content.decode("latin-1") if isinstance(content, bytes) else content
        folded = text.lower()
        return sorted(
            name
            for name, marker in self.planted.items()
            if marker.lower() in folded or any(spelling in text for spelling in _in_base64(marker))
        )


def _in_base64(marker: str) -> list[str]:
    """The marker inside of a longer text in base64: it may begin at any of three places of a group of four."""
    whole = [b64encode(bytes(shift) + marker.encode()).decode() for shift in range(3)]
    return [text[4 if shift else 0 : -4] for shift, text in enumerate(whole)]
