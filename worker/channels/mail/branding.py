"""The platform's look in its mails: name, colour and logo."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from worker.channels.text.sanitize import one_line

MAX_LOGO_BYTES = 100_000
"""Maximum size of the logo's file: every mail carries it."""
MAX_LOGO_WIDTH, MAX_LOGO_HEIGHT = 200, 40
"""Maximum displayed size, in CSS pixels."""
MAX_NAME_LENGTH = 80
LOGO_CID = "logo@meetergo-inbox"
BLACK, WHITE = "#000000", "#ffffff"
DARK_BACKGROUND = "#202124"
"""Background of the card in dark mode."""
MIN_CONTRAST = 1.5
"""Minimum contrast of a button against the card; below it the button gets an outline."""

ImageType = Literal["png", "jpeg", "gif"]


class InvalidBranding(ValueError):
    """A setting of the mails' branding cannot be used; the message names it and says why."""


@dataclass(frozen=True)
class Logo:
    """An image that is part of each mail, so that it shows without a prompt and does not track readers.

    Attributes:
        content: the file.
        subtype: subtype of the media type `image/...`.
        width: displayed width, in CSS pixels.
        height: displayed height, in CSS pixels.
    """

    content: bytes
    subtype: ImageType
    width: int
    height: int

    @classmethod
    def read(cls, path: Path) -> "Logo":
        """Read a PNG, JPEG or GIF file.

        Raises:
            InvalidBranding: it cannot be read, is not such an image, or is too large.
        """
        try:
            if path.exists() and not path.is_file():  # opening a pipe would wait for ever
                raise InvalidBranding(f"MAIL_LOGO cannot be used: {path} is not a file")
            with path.open("rb") as file:
                content = file.read(MAX_LOGO_BYTES + 1)
        except OSError as error:
            raise InvalidBranding(f"MAIL_LOGO cannot be used: {path} cannot be read ({error.strerror})") from None
        if len(content) > MAX_LOGO_BYTES:
            raise InvalidBranding(
                f"MAIL_LOGO cannot be used: {path} has more than {MAX_LOGO_BYTES // 1000} KB, and each mail carries it"
            )
        found = _image_size(content)
        if not found:
            raise InvalidBranding(f"MAIL_LOGO cannot be used: {path} is not a PNG, JPEG or GIF image, which mails show")
        subtype, width, height = found
        scale = min(1.0, MAX_LOGO_WIDTH / width, MAX_LOGO_HEIGHT / height)
        return cls(content, subtype, max(1, round(width * scale)), max(1, round(height * scale)))


@dataclass(frozen=True)
class MailBranding:
    """Name, colour and logo of the platform.

    Attributes:
        name: "" if it is not known.
        color: `#rrggbb`.
        logo: None for none.
    """

    name: str
    color: str
    logo: Logo | None = None

    @classmethod
    def of(cls, name: str, color: str, logo_path: str) -> "MailBranding":
        """Build it from the settings.

        Raises:
            InvalidBranding: the logo cannot be used.
        """
        logo = Logo.read(Path(logo_path)) if logo_path else None
        return cls(one_line(name, MAX_NAME_LENGTH), color, logo)

    @property
    def text_color(self) -> str:
        """Black or white, whichever is easier to read on the colour: the contrast is at least 4.5 to 1."""
        return max((WHITE, BLACK), key=lambda text: contrast(text, self.color))

    @property
    def outline(self) -> str:
        """Colour of a button's outline: the colour itself, unless it is too close to the white card."""
        return self._outline_on(WHITE)

    @property
    def dark_outline(self) -> str:
        """The same on the dark card."""
        return self._outline_on(DARK_BACKGROUND)

    def _outline_on(self, background: str) -> str:
        if contrast(self.color, background) >= MIN_CONTRAST:
            return self.color
        return max((WHITE, BLACK), key=lambda text: contrast(text, background))


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours, from 1 to 21 (WCAG 2.2)."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    channels = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _image_size(content: bytes) -> tuple[ImageType, int, int] | None:
    """Return type, width and height of an image; None if it is not such an image, or has no size."""
    found: tuple[ImageType, int, int] | None = None
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR":
            found = ("png", *struct.unpack(">II", content[16:24]))
        elif content.startswith((b"GIF87a", b"GIF89a")):
            found = ("gif", *struct.unpack("<HH", content[6:10]))
        elif content.startswith(b"\xff\xd8\xff"):
            height, width = _jpeg_size(content)
            found = ("jpeg", width, height)
    except struct.error:
        return None
    return found if found and found[1] and found[2] else None


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Return height and width from the frame header (ITU T.81, B.2.2): the segments before it are skipped."""
    position = 2
    while True:
        marker, length = struct.unpack(">HH", content[position : position + 4])
        is_frame = 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC)
        if is_frame:
            height, width = struct.unpack(">HH", content[position + 5 : position + 9])
            return height, width
        if marker < 0xFF01:
            raise struct.error
        position += 2 + length
