"""The signed address: meetergo signs nothing, so the path that it posts to is the credential."""

import re
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import urlsplit

from itsdangerous import BadSignature, Signer

WEBHOOK_PATH = "/webhooks/meetergo"
SALT = b"meetergo-inbox.endpoint"
ACCOUNT = re.compile(r"[A-Za-z0-9_-]{1,64}")
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{43}")


class AddressSigner:
    """Signs and verifies the tokens of addresses.

    Args:
        keys: signing keys, oldest to newest; the newest signs, all verify.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = list(keys)
        self._signer = Signer(list(keys), salt=SALT, key_derivation="hmac", digest_method=sha256)
        self._verified: dict[str, str] = {}

    def path(self, account: str) -> str:
        """Return the path to register with meetergo for one account.

        Raises:
            ValueError: the account is not 1 to 64 letters, digits, `-` or `_`.
        """
        if not ACCOUNT.fullmatch(account):
            raise ValueError("an account is 1 to 64 letters, digits, '-' or '_'")
        return f"{WEBHOOK_PATH}/{self._signer.sign(account).decode('ascii')}"

    def fingerprints(self, account: str) -> list[str]:
        """Return the fingerprints of this account's addresses, one per key, oldest to newest: see `fingerprint_of`."""
        return [fingerprint_of(path) for path in self.paths(account)]

    def paths(self, account: str) -> list[str]:
        """Return this account's paths, one per key, oldest to newest.

        Raises:
            ValueError: the account is not 1 to 64 letters, digits, `-` or `_`.
        """
        return [AddressSigner([key]).path(account) for key in self._keys]

    def account(self, token: str) -> str | None:
        """Return the account that a token names, or None if it was not signed with these keys. Never raises.

        Verified tokens are remembered, since each account has one per key and sends it with each webhook. The time of
        the look-up tells nothing about them: it depends on a hash with a secret of this process.
        """
        if token not in self._verified:
            account = signed_name(self._signer, token)
            if account is None:
                return None
            self._verified[token] = account
        return self._verified[token]


def signed_name(signer: Signer, token: str) -> str | None:
    """Return what a token names, or None if this signer did not sign it. Never raises."""
    if not TOKEN.fullmatch(token):
        return None
    try:
        return signer.unsign(token).decode("ascii")
    except BadSignature:
        return None


def fingerprint_of(path: str) -> str:
    """Return an identifier that does not reveal the address: 12 hexadecimal digits."""
    return sha256(path.encode("utf-8", "replace")).hexdigest()[:12]


def fingerprint_in(endpoint: str) -> str | None:
    """Return the fingerprint of an address as meetergo shows it; None if it is not this service's."""
    _, found, token = endpoint.partition(WEBHOOK_PATH + "/")
    return fingerprint_of(f"{WEBHOOK_PATH}/{token}") if found else None


def host_of(endpoint: str) -> str:
    """Return the part of an address that is safe to show."""
    try:
        return urlsplit(endpoint).netloc.rpartition("@")[2] or "?"
    except ValueError:
        return "?"
