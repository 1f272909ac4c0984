"""A body stream that is as unhelpful as a server may be."""

from dataclasses import dataclass


@dataclass
class Stream:
    """A stream of a body.

    Attributes:
        content: all of it.
        step: most bytes at a time.
        breaks_at: the connection breaks after N bytes; None if it holds.
    """

    content: bytes
    step: int
    breaks_at: int | None
    read_so_far: int = 0

    def read(self, size: int = -1) -> bytes:
        """Return some bytes; none at the end."""
        if self.breaks_at is not None and self.read_so_far >= self.breaks_at:
            raise ConnectionResetError
        end = len(self.content) if self.breaks_at is None else self.breaks_at
        left = end - self.read_so_far
        part = self.content[self.read_so_far :][: min(self.step, left, left if size < 0 else size)]
        self.read_so_far += len(part)
        return part
