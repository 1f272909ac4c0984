"""Encryption: bodies at rest are encrypted, since they carry people's data and the provider's cancel token.

Fernet (AES-128-CBC and HMAC-SHA256, from `cryptography`) with several keys, oldest to newest: the newest encrypts,
each decrypts what it encrypted. Without a key bodies are stored as they came, and the process says so at its start.
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
        key: which key encrypted them; None if none did.
    """

    content: bytes = field(repr=False)
    key: str | None


class BodyCipher:
    """Encrypts and decrypts bodies.

    Args:
        keys: Fernet keys, oldest to newest; none to encrypt nothing.

    Raises:
        ValueError: a key is not 32 bytes in URL-safe base64.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = {key_id(key): Fernet(key) for key in keys}

    @property
    def newest_key(self) -> str | None:
        """The id of the key that encrypts now."""
        return next(reversed(self._keys), None)

    def encrypt(self, body: bytes) -> EncryptedBody:
        """The body as it may be stored."""
        if self.newest_key is None:
            return EncryptedBody(body, None)
        return EncryptedBody(self._keys[self.newest_key].encrypt(body), self.newest_key)

    def decrypt(self, encrypted_body: EncryptedBody) -> bytes:
        """The body as it came.

        Raises:
            Transient: its key is not among ours, or the bytes are damaged; an operator has to give it back.
        """
        if encrypted_body.key is None:
            return encrypted_body.content
        try:
            return self._keys[encrypted_body.key].decrypt(encrypted_body.content)
        except KeyError:
            raise Transient(f"the body is encrypted with key {encrypted_body.key}, which is not in BODY_KEYS") from None
        except InvalidToken:
            raise Transient(f"the body does not open with key {encrypted_body.key}: it is damaged") from None

    def warn_if_unencrypted(self) -> None:
        """Says at the start of a process that people's data is stored as it came."""
        if self.newest_key is None:
            log.warning("bodies.unencrypted", advice="set BODY_KEYS, so that bodies at rest are encrypted")


def key_id(key: str) -> str:
    """Identifies a key without revealing it."""
    return sha256(key.encode()).hexdigest()[:12]
