"""Credentials: the two kinds of key, and their opposite rules for the acting user."""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from pydantic import SecretStr

from meetergo.api.errors import InvalidCall

USER_HEADER = "x-meetergo-api-user-id"
PLATFORM_KEY = re.compile(r"ak_[a-z]+:[0-9A-Za-z-]{8,64}:[!-~]+")
PERSONAL_TOKEN = re.compile(r"rgo-[!-~]{8,}")

Impersonation = Literal["never", "optional", "required"]
"""Whether a route accepts a user to act as."""


class UnusableKey(ValueError):
    """The text is not a meetergo key. The message describes the format and quotes nothing."""


@dataclass(frozen=True)
class Credential:
    """A key. Only `secret` reveals it; `repr` does not.

    Attributes:
        kind: `platform` acts as any user of the company, named per request; `personal` always acts as its owner.
    """

    kind: Literal["platform", "personal"]
    secret: SecretStr

    @classmethod
    def read(cls, key: str) -> "Credential":
        """Detect the kind of a key by its format.

        Raises:
            UnusableKey: it has neither format.
        """
        key = key.strip()
        if PLATFORM_KEY.fullmatch(key):
            return cls("platform", SecretStr(key))
        if PERSONAL_TOKEN.fullmatch(key):
            return cls("personal", SecretStr(key))
        raise UnusableKey("a Platform API key looks like ak_live:<uuid>:<secret>, a personal access token like rgo-...")

    @property
    def masked(self) -> str:
        """Return a hint to tell keys apart: the start of a Platform key's id, nothing of a personal token."""
        if self.kind == "personal":
            return "rgo-***"
        environment, key_id, _ = self.secret.get_secret_value().split(":", 2)
        return f"{environment}:{key_id[:4]}…:***"

    @property
    def fingerprint(self) -> str:
        """Return an identifier for the key where the key itself must not appear, such as in Redis."""
        return sha256(self.secret.get_secret_value().encode()).hexdigest()[:16]

    def header(self, user_id: str | None, impersonation: Impersonation) -> dict[str, str]:
        """Return the header that names the acting user; none for a personal token.

        Raises:
            InvalidCall: a personal token cannot act as another user, or a Platform key needs a user to act as.
        """
        if self.kind == "personal":
            if user_id:
                raise InvalidCall(
                    "a personal access token acts only as its owner: use a Platform API key to act as another user"
                )
            return {}
        if not user_id and impersonation == "required":
            raise InvalidCall("a Platform API key must name the user to act as, such as an admin of the company")
        return {USER_HEADER: user_id} if user_id and impersonation != "never" else {}

    def __repr__(self) -> str:
        return f"Credential({self.masked})"

    __str__ = __repr__
