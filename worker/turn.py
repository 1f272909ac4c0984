"""Turns: while several accounts have rows that wait, each batch takes the rows of one of them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from string import ascii_letters, digits


@dataclass
class Turn:
    """Whose turn it was.

    Attributes:
        account: the account whose rows were claimed last. The first is drawn: a process may live for one batch only,
            and the first account by name would then always be served first.
    """

    account: str = field(default_factory=lambda: random.choice(ascii_letters + digits))  # noqa: S311 - guards nothing

    def order(self, accounts: Sequence[str]) -> Sequence[str]:
        """Return the accounts in the order of their turns: by name, beginning after the last one."""
        return sorted(accounts, key=lambda name: (name <= self.account, name))
