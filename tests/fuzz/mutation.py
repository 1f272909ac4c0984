"""Mutation: turn a valid input into a slightly or very invalid one. The same seed makes the same mistakes."""

from collections.abc import Callable, Sequence
from random import Random

MOST_STEPS = 4
LARGE = 20_000
LARGE_EVERY = 2_000


class Mutator:
    """Makes mistakes.

    Args:
        rng: decides which.
        words: pieces that are meaningful to the parser.
    """

    def __init__(self, rng: Random, words: Sequence[str]) -> None:
        self.rng = rng
        self._words = words
        self._steps: list[Callable[[str, int, int], str]] = [
            lambda text, start, end: text[:start] + text[end:],
            lambda text, start, end: text[:end] + text[start:end] + text[end:],
            lambda text, start, end: text[:start] + self._word() + text[start:],
            lambda text, start, end: text[:start] + self._word() + text[end:],
            lambda text, start, end: text[:start] + chr(rng.randrange(256)) + text[start + 1 :],
            lambda text, start, end: text[:start] + text[start:end].swapcase() + text[end:],
            lambda text, start, end: text[:start] + text[start:end][::-1] + text[end:],
            lambda text, start, end: text[:end],
        ]

    def text(self, text: str) -> str:
        """Return the text with some mistakes; sometimes a very long one."""
        for _ in range(self.rng.randint(1, MOST_STEPS)):
            start, end = sorted((self._place(text), self._place(text)))
            text = self.rng.choice(self._steps)(text, start, end)
        if not self.rng.randrange(LARGE_EVERY):
            text *= self.rng.randint(2, 2 + LARGE // (len(text) or 1))
        return text

    def header(self, text: str) -> str:
        """Return the same, restricted to latin-1, in which a WSGI server decodes headers and paths."""
        return self.text(text).encode("latin-1", "replace").decode("latin-1")

    def bytes(self, content: bytes) -> bytes:
        """Return the bytes with some mistakes."""
        return self.text(content.decode("latin-1")).encode("latin-1", "replace")

    def _place(self, text: str) -> int:
        return self.rng.randrange(len(text) + 1)

    def _word(self) -> str:
        return self.rng.choice(self._words)
