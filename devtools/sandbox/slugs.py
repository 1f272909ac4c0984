"""Slugs: the readable parts of a booking URL."""

import re
import unicodedata
from collections.abc import Container
from itertools import count

from devtools.sandbox.state.company import Record

SHORTEST = 5


def slug_of(text: str, shortest: int = 1) -> str:
    """Derive a slug from a name."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-").ljust(shortest, "0")


def free_slug(wanted: str, taken: Container[str]) -> str:
    """Return the slug, or the first free one of `slug-2`, `slug-3` and so on."""
    if wanted not in taken:
        return wanted
    return next(slug for number in count(2) if (slug := f"{wanted}-{number}") not in taken)


def slugs(records: dict[str, Record], **of: str) -> set[str]:
    """Return the slugs in use, among the records that have these values."""
    return {record["slug"] for record in records.values() if of.items() <= record.items()}
