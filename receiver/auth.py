"""Authentication: only authenticated bodies get through.

The cheap checks come first and need only the head of the request: the stated size, the address, the presence of a
signature where one is required, and the encoding of the body. Only then is the body read, once and raw, so a sender
that does not know the address cannot make the receiver read. The signature is verified last, over the raw bytes.
"""

import asyncio
import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import NamedTuple

from models.account import DEFAULT
from models.account_cache import Accounts
from runtime.signatures import Verifier
from runtime.signed_address import WEBHOOK_PATH, AddressSigner, fingerprint_of

ACCOUNT_TIMEOUT = timedelta(seconds=1)
"""How long a request may wait for the list of accounts; after that, the last known one counts."""
GZIP_MAGIC = b"\x1f\x8b"
ENCODING_REJECTION = "send the body without content-encoding, and JSON in UTF-8"


@dataclass(frozen=True)
class RequestHead:
    """The head of a request.

    Attributes:
        method: in upper case.
        path: decoded, as WSGI has it (latin-1).
        headers: names in lower case.
    """

    method: str
    path: str
    headers: Mapping[str, str]

    @property
    def is_webhook(self) -> bool:
        """Whether it is a POST to the webhook path."""
        return self.method == "POST" and (self.path == WEBHOOK_PATH or self.path.startswith(WEBHOOK_PATH + "/"))

    @property
    def is_chunked(self) -> bool:
        """Whether the body is chunked, so that its Content-Length does not count."""
        return "transfer-encoding" in self.headers

    @property
    def content_length(self) -> int | None:
        """The stated length of the body in bytes; None if none is stated.

        Raises:
            RejectedRequest: it is not a number.
        """
        text = "" if self.is_chunked else self.headers.get("content-length", "")
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise RejectedRequest(400, "bad content length")
        return int(text)


class RequestAddress(NamedTuple):
    """The address that a request used.

    Attributes:
        account: the account that it names, which the delivery is for.
        fingerprint: its fingerprint; None if the request has only a signature.
    """

    account: str
    fingerprint: str | None


class RejectedRequest(Exception):
    """The request is not authenticated, or cannot be read.

    Attributes:
        status: the HTTP status of the response.
        reason: why, in a few words that tell an attacker nothing.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class WebhookAuth:
    """Authenticates webhooks.

    Args:
        signer: reads the tokens of signed addresses.
        account: the name of the account `default` in its address.
        accounts: the other accounts.
        verifier: verifies the signature header, if one is configured.
        max_body: largest body, in bytes.
        address_optional: whether a signature alone is enough.
    """

    def __init__(
        self,
        signer: AddressSigner,
        account: str,
        accounts: Accounts,
        verifier: Verifier | None,
        max_body: int,
        address_optional: bool,
    ) -> None:
        self._signer = signer
        self._account = account
        self._accounts = accounts
        self._verifier = verifier
        self._address_optional = address_optional
        self.max_body = max_body

    def check_head(self, head: RequestHead) -> RequestAddress:
        """Run all checks that need no byte of the body, and no answer of the database: see `check_account`.

        Raises:
            RejectedRequest: a check failed.
        """
        length = head.content_length
        if length is not None and length > self.max_body:
            raise RejectedRequest(413, "body too large")
        address = self._check_address(head.path)
        if self._verifier and not self._verifier.could_verify(head.headers, datetime.now(UTC)):
            raise RejectedRequest(401, "bad signature")
        if not (_is_uncompressed(head) and _is_utf8(head)):
            raise RejectedRequest(415, ENCODING_REJECTION)
        if length is None and not head.is_chunked:
            raise RejectedRequest(411, "length required")
        return address

    async def check_account(self, name: str) -> None:
        """Check that an account other than `default` accepts webhooks.

        Raises:
            RejectedRequest: it is disabled, or there is none of this name.
        """
        if not await self._is_accepted(name):
            raise RejectedRequest(404, "not found")

    def check_body(self, head: RequestHead, body: bytes) -> None:
        """Check the raw body, and verify its signature, after the head was checked.

        Raises:
            RejectedRequest: the body is incomplete, compressed or too large, or its signature is invalid.
        """
        if len(body) > self.max_body:
            raise RejectedRequest(413, "body too large")
        if body.startswith(GZIP_MAGIC):  # no header says so
            raise RejectedRequest(415, ENCODING_REJECTION)
        if not _is_complete(body, head.content_length):
            raise RejectedRequest(400, "body empty or incomplete")
        if self._verifier and not self._verifier.verify(head.headers, body, datetime.now(UTC)):
            raise RejectedRequest(401, "bad signature")

    async def _is_accepted(self, name: str) -> bool:
        if self._accounts.is_fresh(name):  # without a thread, which costs as much as all else that the loop does
            return self._accounts.accepts_as_last_known(name)
        try:
            async with asyncio.timeout(ACCOUNT_TIMEOUT.total_seconds()):
                return await asyncio.to_thread(self._accounts.accepts, name)
        except TimeoutError:
            return self._accounts.accepts_as_last_known(name)

    def _check_address(self, path: str) -> RequestAddress:
        rest = path.removeprefix(WEBHOOK_PATH)
        if not rest and self._verifier and self._address_optional:
            return RequestAddress(DEFAULT, None)
        name = self._signer.account(rest.removeprefix("/"))
        if name == self._account:
            return RequestAddress(DEFAULT, fingerprint_of(path))
        if name is None or name == DEFAULT:
            raise RejectedRequest(404, "not found")
        return RequestAddress(name, fingerprint_of(path))


def _is_uncompressed(head: RequestHead) -> bool:
    return _has_only(head, "content-encoding", "identity") and _has_only(
        head, "transfer-encoding", "identity", "chunked"
    )


def _has_only(head: RequestHead, name: str, *harmless: str) -> bool:
    """Whether a header lists no other codings than these."""
    if name not in head.headers:
        return True
    return all(coding.strip().lower() in ("", *harmless) for coding in head.headers[name].split(","))


def _is_utf8(head: RequestHead) -> bool:
    """Whether the stated charset is UTF-8 or its subset ASCII, or none is stated."""
    content_type = head.headers.get("content-type", "")
    if "charset" not in content_type.lower():
        return True
    message = Message()
    message["content-type"] = content_type.replace("\r", " ").replace("\n", " ")
    try:
        return not (charset := message.get_content_charset()) or codecs.lookup(charset).name in ("utf-8", "ascii")
    except (LookupError, ValueError):
        return False


def _is_complete(body: bytes, length: int | None) -> bool:
    """Whether the body is complete. A server may end a broken chunked body like a complete one; its JSON shows it."""
    if length is not None:
        return 0 < len(body) == length
    try:
        json.loads(body, parse_int=str)  # Python converts no number of more than 4,300 digits
    except (ValueError, RecursionError):
        return False
    return True
