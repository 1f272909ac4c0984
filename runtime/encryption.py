"""Encryption of bodies at rest, which hold personal data and the provider's cancel token.

Fernet (AES-128-CBC and HMAC-SHA256, from `cryptography`) with several keys, oldest to newest: the newest encrypts,
and each decrypts what it encrypted. Without a key, bodies are stored in plain text, and each process warns at start.
Tokens are stored as bytes. Fernet writes them in base64, which takes a third more; older releases stored them so.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import structlog
from cryptography.fernet import Fernet, InvalidToken

from runtime.errors import Transient

VERSION = b"\x80"
"""The first byte of a token; one in base64 begins with a letter."""

log = structlog.get_logger()


@dataclass(frozen=True)
class EncryptedBody:
    """A body in its stored form.

    Attributes:
        content: the bytes, encrypted or not.
        key: id of the key that encrypted them; None if they are not encrypted.
    """

    content: bytes = field(repr=False)
    key: str | None


class BodyCipher:
    """Encrypts and decrypts bodies.

    Args:
        keys: Fernet keys, oldest to newest; empty to store plain text.

    Raises:
        ValueError: a key is not 32 bytes in URL-safe base64.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = {key_id(key): Fernet(key) for key in keys}

    @property
    def newest_key(self) -> str | None:
        """The id of the key that encrypts; None without keys."""
        return next(reversed(self._keys), None)

    def encrypt(self, body: bytes) -> EncryptedBody:
        """Encrypt a body for storage. Without keys it is stored as it is."""
        if self.newest_key is None:
            return EncryptedBody(body, None)
        return EncryptedBody(urlsafe_b64decode(self._keys[self.newest_key].encrypt(body)), self.newest_key)

    def decrypt(self, encrypted_body: EncryptedBody) -> bytes:
        """Decrypt a stored body.

        Raises:
            Transient: its key is not configured, which an operator can fix, or the bytes are damaged.
        """
        if encrypted_body.key is None:
            return encrypted_body.content
        try:
            content = encrypted_body.content
            token = urlsafe_b64encode(content) if content.startswith(VERSION) else content
            return self._keys[encrypted_body.key].decrypt(token)
        except KeyError:
            raise Transient(f"the body is encrypted with key {encrypted_body.key}, which is not in BODY_KEYS") from None
        except InvalidToken:
            raise Transient(f"the body cannot be decrypted with key {encrypted_body.key}: it is damaged") from None

    def warn_if_unencrypted(self) -> None:
        """Log a warning, at the start of a process, if personal data is stored in plain text."""
        if self.newest_key is None:
            log.warning("bodies.unencrypted", advice="set BODY_KEYS, so that bodies at rest are encrypted")


def key_id(key: str) -> str:
    """Return an id of a key that does not reveal it."""
    return sha256(key.encode()).hexdigest()[:12]
