"""Markers: words that occur nowhere else, so that whoever finds one knows what leaked."""

import secrets

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
        """Names of what is there, however its letters are written."""
        text = (content.decode("latin-1") if isinstance(content, bytes) else content).lower()
        return sorted(name for name, marker in self.planted.items() if marker.lower() in text)
