"""HMAC signatures of requests, as a gateway in front (or one day meetergo) puts them into a header.

A verifier is total: any headers and any body in, True or False out.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from hmac import compare_digest

from itsdangerous.signer import HMACAlgorithm

DEFAULT_TOLERANCE = timedelta(minutes=5)
UNIX_SECONDS = re.compile(r"[0-9]{1,12}")
SHA256 = HMACAlgorithm(sha256)
SHA256_BYTES = sha256().digest_size

Headers = Mapping[str, str]
"""Header names in lower case; values as received (latin-1, as WSGI decodes them)."""

SignedParts = tuple[bytes, list[bytes]]
"""The signed bytes, and the candidate signatures."""


class MalformedSecret(ValueError):
    """A secret does not fit its scheme; the message says how it should look."""


class Verifier:
    """Verifies one scheme's header against several secrets; any of them may match.

    Args:
        scheme: `standard`, `timestamped`, `hex` or `base64`.
        secrets: the shared secrets as the sender displays them.
        header: header with the signature; empty for the scheme's default.
        tolerance: maximum difference of a signed time from now, in both directions.

    Raises:
        KeyError: the scheme does not exist.
        MalformedSecret: a secret is empty, or not base64 where the scheme requires it.
    """

    def __init__(
        self,
        scheme: str,
        secrets: Sequence[str],
        header: str = "",
        tolerance: timedelta = DEFAULT_TOLERANCE,
    ) -> None:
        self.scheme = scheme
        self.header = (header or DEFAULT_HEADERS[scheme]).lower().replace("_", "-")
        self._parts = SCHEMES[scheme]
        self._keys = [KEYS[scheme](secret) for secret in secrets]
        self._tolerance = tolerance.total_seconds()

    def verify(self, headers: Headers, body: bytes, now: datetime) -> bool:
        """Return whether any secret signed this body, recently enough. Never raises.

        The schemes: Standard Webhooks (standardwebhooks.com), `t=,v1=` of Stripe and Calendly,
        plain hex of GitHub and Cal.com, plain base64 of Shopify.
        """
        parts = self._parts(self.header, headers, body, partial(self._is_fresh, now=now))
        if parts is None:
            return False
        signed, signatures = parts
        expected = [SHA256.get_signature(key, signed) for key in self._keys]
        return any(compare_digest(ours, theirs) for ours in expected for theirs in signatures)

    def could_verify(self, headers: Headers, now: datetime) -> bool:
        """Return whether the headers could sign any body: a complete signature, recent enough. Never raises."""
        parts = self._parts(self.header, headers, b"", partial(self._is_fresh, now=now))
        return parts is not None and any(len(signature) == SHA256_BYTES for signature in parts[1])

    def sign(self, body: bytes, message_id: str, now: datetime) -> dict[str, str]:
        """Return the headers with which a sender that has the newest secret signs this body."""
        timestamp, prefix = str(int(now.timestamp())), _prefix(self.header)
        if self.scheme == "standard":
            mac = base64.b64encode(self._mac(_joined(message_id, timestamp, body))).decode()
            return {prefix + "id": message_id, prefix + "timestamp": timestamp, self.header: f"v1,{mac}"}
        if self.scheme == "timestamped":
            return {self.header: f"t={timestamp},v1={self._mac(_joined(timestamp, body)).hex()}"}
        mac = self._mac(body).hex() if self.scheme == "hex" else base64.b64encode(self._mac(body)).decode()
        return {self.header: mac}

    def _mac(self, signed: bytes) -> bytes:
        return SHA256.get_signature(self._keys[-1], signed)

    def _is_fresh(self, timestamp: str, *, now: datetime) -> bool:
        if not UNIX_SECONDS.fullmatch(timestamp):
            return False
        return abs(now.timestamp() - int(timestamp)) <= self._tolerance


IsFresh = Callable[[str], bool]


def _standard(header: str, headers: Headers, body: bytes, fresh: IsFresh) -> SignedParts | None:
    prefix = _prefix(header)
    message_id, timestamp = headers.get(prefix + "id", ""), headers.get(prefix + "timestamp", "")
    if not message_id or not fresh(timestamp):
        return None
    candidates = [item[3:] for item in headers.get(header, "").split(" ") if item.startswith("v1,")]
    return _joined(message_id, timestamp, body), list(_decoded(candidates, _base64))


def _prefix(header: str) -> str:
    """Prefix of the three header names of Standard Webhooks: `svix-` for `svix-signature`."""
    return header.removesuffix("signature") if header.endswith("signature") else "webhook-"


def _timestamped(header: str, headers: Headers, body: bytes, fresh: IsFresh) -> SignedParts | None:
    fields = [item.strip().partition("=") for item in headers.get(header, "").split(",")]
    timestamps = [value for name, _, value in fields if name == "t"]
    if len(timestamps) != 1 or not fresh(timestamps[0]):
        return None
    candidates = [value for name, _, value in fields if name == "v1"]
    return _joined(timestamps[0], body), list(_decoded(candidates, _hex))


def _plain(decode: Callable[[str], bytes]) -> Callable[[str, Headers, bytes, IsFresh], SignedParts | None]:
    def parts(header: str, headers: Headers, body: bytes, fresh: IsFresh) -> SignedParts | None:
        candidate = headers.get(header, "").strip().removeprefix("sha256=")
        return body, list(_decoded([candidate], decode))

    return parts


def _joined(*parts: str | bytes) -> bytes:
    return b".".join(part if isinstance(part, bytes) else part.encode("latin-1", "replace") for part in parts)


def _decoded(candidates: Sequence[str], decode: Callable[[str], bytes]) -> Iterator[bytes]:
    for candidate in candidates:
        try:
            yield decode(candidate)
        except ValueError:
            continue


def _hex(text: str) -> bytes:
    return binascii.unhexlify(text)


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _text_key(secret: str) -> bytes:
    if not secret:
        raise MalformedSecret("a secret must not be empty")
    return secret.encode()


def _standard_key(secret: str) -> bytes:
    encoded = secret.removeprefix("whsec_").rstrip("=")
    try:
        key = _base64(encoded + "=" * (-len(encoded) % 4))
    except ValueError as error:
        raise MalformedSecret("a secret of Standard Webhooks is base64, with or without 'whsec_'") from error
    if not key:
        raise MalformedSecret("a secret must not be empty")
    return key


SCHEMES = {"standard": _standard, "timestamped": _timestamped, "hex": _plain(_hex), "base64": _plain(_base64)}
KEYS = {"standard": _standard_key, "timestamped": _text_key, "hex": _text_key, "base64": _text_key}
DEFAULT_HEADERS = {
    "standard": "webhook-signature",
    "timestamped": "webhook-signature",
    "hex": "x-hub-signature-256",
    "base64": "x-signature",
}
