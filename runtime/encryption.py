"""Encryption of bodies at rest, which hold personal data and the provider's cancel token.

AES-256-GCM from `cryptography`, with several keys, oldest to newest: the newest encrypts, and each decrypts what it
encrypted. Without a key, bodies are stored in plain text, and each process warns at start.

Keys are in the format of Fernet, with which older releases encrypted; the AES-GCM keys are derived from them. Fernet
takes ten times as long, a sixth of what a webhook costs the receiver.

The library is imported with the first key. A command that lists rows needs none.
"""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import structlog

from runtime.errors import Transient

if TYPE_CHECKING:
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

AES_GCM, FERNET = b"\x81", b"\x80"
"""First byte of a stored body. Release 0.1.0 stored Fernet's base64, which begins with a letter."""
NONCE_BYTES = 12
"""Length of the random nonce of each body: a key is safe for four billion of them."""
KEY_BYTES, KEY_USE = 32, b"meetergo-inbox: bodies, AES-256-GCM"

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
        self._fernets = {key_id(key): _fernet(key) for key in keys}
        self._keys = {key_id(key): _derived(key) for key in keys}

    @property
    def newest_key(self) -> str | None:
        """The id of the key that encrypts; None without keys."""
        return next(reversed(self._keys), None)

    def encrypt(self, body: bytes) -> EncryptedBody:
        """Encrypt a body for storage. Without keys it is stored as it is."""
        if self.newest_key is None:
            return EncryptedBody(body, None)
        nonce = os.urandom(NONCE_BYTES)
        encrypted = self._keys[self.newest_key].encrypt(nonce, body, None)
        return EncryptedBody(AES_GCM + nonce + encrypted, self.newest_key)

    def encrypt_for_0_1_0(self, body: bytes) -> EncryptedBody:
        """Encrypt a body for release 0.1.0, which reads nothing else. There has to be a key."""
        newest = next(reversed(self._fernets))
        return EncryptedBody(self._fernets[newest].encrypt(body), newest)

    def decrypt(self, encrypted_body: EncryptedBody) -> bytes:
        """Decrypt a stored body.

        Raises:
            Transient: its key is not configured, which an operator can fix, or the bytes are damaged.
        """
        if encrypted_body.key is None:
            return encrypted_body.content
        try:
            return self._decrypt(encrypted_body.content, encrypted_body.key)
        except KeyError:
            raise Transient(f"the body is encrypted with key {encrypted_body.key}, which is not in BODY_KEYS") from None
        except _errors_of_damage():
            raise Transient(f"the body cannot be decrypted with key {encrypted_body.key}: it is damaged") from None

    def _decrypt(self, content: bytes, key: str) -> bytes:
        if content.startswith(AES_GCM):
            nonce_end = len(AES_GCM) + NONCE_BYTES
            return self._keys[key].decrypt(content[len(AES_GCM) : nonce_end], content[nonce_end:], None)
        return self._fernets[key].decrypt(urlsafe_b64encode(content) if content.startswith(FERNET) else content)

    def warn_if_unencrypted(self) -> None:
        """Log a warning, at the start of a process, if personal data is stored in plain text."""
        if self.newest_key is None:
            log.warning("bodies.unencrypted", advice="set BODY_KEYS, so that bodies at rest are encrypted")


def _errors_of_damage() -> tuple[type[Exception], ...]:
    from cryptography.exceptions import InvalidTag
    from cryptography.fernet import InvalidToken

    return InvalidTag, InvalidToken, ValueError


def _fernet(key: str) -> "Fernet":
    from cryptography.fernet import Fernet

    return Fernet(key)


def _derived(key: str) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt=None, info=KEY_USE).derive(urlsafe_b64decode(key)))


def key_id(key: str) -> str:
    """Return an id of a key that does not reveal it."""
    return sha256(key.encode()).hexdigest()[:12]
