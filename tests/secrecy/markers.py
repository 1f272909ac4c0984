"""Markers: unique words that identify what leaked."""

import secrets
from base64 import b64encode

LENGTH = 40


class Markers:
    """Creates, remembers and finds markers."""

    def __init__(self) -> None:
        self.planted: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """Return a word of lower-case letters and digits that is also base64; the same for the same name."""
        if name not in self.planted:
            self.planted[name] = f"mk{name}".ljust(LENGTH - 12, "x") + secrets.token_hex(6)
        return self.planted[name]

    def plant(self, name: str, text: str) -> str:
        """Remember an existing secret."""
        self.planted[name] = text
        return text

    def found_in(self, content: str | bytes) -> list[str]:
        """Return the names of markers in a text, in any case, also in base64."""
        text = content.decode("latin-1") if isinstance(content, bytes) else content
        folded = text.lower()
        return sorted(
            name
            for name, marker in self.planted.items()
            if marker.lower() in folded or any(spelling in text for spelling in _in_base64(marker))
        )


def _in_base64(marker: str) -> list[str]:
    """Return the marker's base64 within longer text: it may start at three offsets of a group of four."""
    whole = [b64encode(bytes(shift) + marker.encode()).decode() for shift in range(3)]
    return [text[4 if shift else 0 : -4] for shift, text in enumerate(whole)]
