"""The vault: bodies at rest are encrypted, since they carry people's data and the provider's cancel token.

Fernet (AES-128-CBC and HMAC-SHA256, from `cryptography`) with several keys, oldest to newest: the newest seals,
each opens what it sealed. Without a key bodies are kept as they came, and the process says so at its start.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import structlog
from cryptography.fernet import Fernet, InvalidToken

from runtime.errors import Transient

log = structlog.get_logger()


@dataclass(frozen=True)
class EncryptedBody:
    """A body as it is stored.

    Attributes:
        content: the bytes, encrypted or not.
        key: which key sealed them; None if none did.
    """

    content: bytes = field(repr=False)
    key: str | None


class BodyCipher:
    """Seals and opens bodies.

    Args:
        keys: Fernet keys, oldest to newest; none to seal nothing.

    Raises:
        ValueError: a key is not 32 bytes in URL-safe base64.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = {name_of(key): Fernet(key) for key in keys}

    @property
    def newest(self) -> str | None:
        """The name of the key that seals now."""
        return next(reversed(self._keys), None)

    def seal(self, body: bytes) -> EncryptedBody:
        """The body as it may be stored."""
        if self.newest is None:
            return EncryptedBody(body, None)
        return EncryptedBody(self._keys[self.newest].encrypt(body), self.newest)

    def open(self, sealed: EncryptedBody) -> bytes:
        """The body as it came.

        Raises:
            Transient: its key is not among ours, or the bytes are damaged; an operator has to give it back.
        """
        if sealed.key is None:
            return sealed.content
        try:
            return self._keys[sealed.key].decrypt(sealed.content)
        except KeyError:
            raise Transient(f"the body is sealed with key {sealed.key}, which is not in BODY_KEYS") from None
        except InvalidToken:
            raise Transient(f"the body does not open with key {sealed.key}: it is damaged") from None

    def warn_if_it_seals_nothing(self) -> None:
        """Says at the start of a process that people's data is stored as it came."""
        if self.newest is None:
            log.warning("bodies.unencrypted", advice="set BODY_KEYS, so that bodies at rest are encrypted")


def name_of(key: str) -> str:
    """Tells keys apart without giving them away."""
    return sha256(key.encode()).hexdigest()[:12]
