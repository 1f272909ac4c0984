"""Encryption of bodies at rest, which hold personal data and the provider's cancel token.

Fernet (AES-128-CBC and HMAC-SHA256, from `cryptography`) with several keys, oldest to newest: the newest encrypts,
and each decrypts what it encrypted. Without a key, bodies are stored in plain text, and each process warns at start.
Tokens are stored as bytes. Fernet writes them in base64, which takes a third more; older releases stored them so.
"""

import hmac
import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock

import structlog
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from runtime.errors import Transient

VERSION = b"\x80"
"""The first byte of a token; one in base64 begins with a letter."""
BLOCK_BYTES = 16

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
        by_id = {key_id(key): key for key in keys}
        self._keys = {each: Fernet(key) for each, key in by_id.items()}
        self._newest = TokenWriter(by_id[self.newest_key]) if self.newest_key else None

    @property
    def newest_key(self) -> str | None:
        """The id of the key that encrypts; None without keys."""
        return next(reversed(self._keys), None)

    def encrypt(self, body: bytes) -> EncryptedBody:
        """Encrypt a body for storage. Without keys it is stored as it is."""
        if self._newest is None:
            return EncryptedBody(body, None)
        return EncryptedBody(self._newest.token(body), self.newest_key)

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


class TokenWriter:
    """Writes Fernet tokens, as bytes.

    `Fernet.encrypt` sets up AES and HMAC for each token and takes three times as long. Here one CBC stream encrypts
    them all. A random block precedes each body, and its ciphertext, which nobody can predict, is the token's IV.

    Args:
        key: a Fernet key.
    """

    def __init__(self, key: str) -> None:
        raw_key = urlsafe_b64decode(key)
        self._mac = hmac.new(raw_key[:16], digestmod=sha256)
        self._stream = Cipher(AES(raw_key[16:]), CBC(os.urandom(BLOCK_BYTES))).encryptor()
        self._lock = Lock()

    def token(self, body: bytes) -> bytes:
        """Encrypt a body."""
        padding = BLOCK_BYTES - len(body) % BLOCK_BYTES
        blocks = os.urandom(BLOCK_BYTES) + body + bytes([padding]) * padding
        with self._lock:
            encrypted = self._stream.update(blocks)
        signed = VERSION + int(time.time()).to_bytes(8) + encrypted
        mac = self._mac.copy()
        mac.update(signed)
        return signed + mac.digest()


def key_id(key: str) -> str:
    """Return an id of a key that does not reveal it."""
    return sha256(key.encode()).hexdigest()[:12]
