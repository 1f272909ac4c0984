"""Authentication: WSGI middleware that lets only authenticated bodies through.

The cheap checks come first and need only the headers: the stated size, the address, the presence of a signature where
one is required, and the encoding of the body. Only then is the body read, once and raw, so a sender that does not know
the address cannot make the receiver read. The signature is verified last, over the raw bytes.
"""

import codecs
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from wsgiref.types import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

from receiver.responses import CLOSE_CONNECTION, RawResponse, rejection, send
from runtime.signatures import Verifier
from runtime.signed_address import WEBHOOK_PATH, AddressSigner, fingerprint_of

AUTHENTICATED_REQUEST = "meetergo_inbox.authenticated_request"
ENCODING_REJECTION = "send the body without content-encoding, and JSON in UTF-8"


@dataclass(frozen=True)
class AuthenticatedRequest:
    """The body of an authenticated request.

    Attributes:
        account: the account that the delivery is for.
        body: the raw bytes.
        fingerprint: fingerprint of the signed address; None if only the signature authenticated the request.
    """

    account: str
    body: bytes = field(repr=False)
    fingerprint: str | None = None


class RejectedRequest(Exception):
    """The request is not authenticated, or cannot be read.

    Attributes:
        response: the response to send.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.response: RawResponse = rejection(status, reason, CLOSE_CONNECTION)


class WebhookAuth:
    """Middleware that puts an `AuthenticatedRequest` into the WSGI environment, or rejects the request.

    Args:
        app: the wrapped WSGI application.
        signer: reads the tokens of signed addresses.
        account: the account that this receiver serves.
        verifier: verifies the signature header, if one is configured.
        max_body: largest body, in bytes.
        address_optional: whether a signature alone is enough.
    """

    def __init__(
        self,
        app: WSGIApplication,
        signer: AddressSigner,
        account: str,
        verifier: Verifier | None,
        max_body: int,
        address_optional: bool = False,
    ) -> None:
        self._app = app
        self._signer = signer
        self._account = account
        self._verifier = verifier
        self._address_optional = address_optional
        self.max_body = max_body

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass an authenticated request on, or reject it."""
        if is_webhook_post(environ):
            try:
                environ[AUTHENTICATED_REQUEST] = self.authenticate(environ, self.check_headers(environ))
            except RejectedRequest as rejected:
                return send(rejected.response, start_response)
        return self._app(environ, start_response)

    def authenticate(self, environ: WSGIEnvironment, fingerprint: str | None) -> AuthenticatedRequest:
        """Read the body, check it, and verify its signature.

        Args:
            environ: environment of a request whose headers were checked.
            fingerprint: the result of `check_headers`.

        Raises:
            RejectedRequest: the body is incomplete, too large, too slow, or its signature is invalid.
        """
        body = self._read(environ, content_length(environ))
        if self._verifier and not self._verifier.verify(_headers(environ), body, datetime.now(UTC)):
            raise RejectedRequest(401, "bad signature")
        return AuthenticatedRequest(self._account, body, fingerprint)

    def check_headers(self, environ: WSGIEnvironment) -> str | None:
        """Run all checks that need no byte of the body.

        Returns:
            The fingerprint of the signed address; None if the request did not use one.

        Raises:
            RejectedRequest: a check failed.
        """
        length = content_length(environ)
        if length is not None and length > self.max_body:
            raise RejectedRequest(413, "body too large")
        fingerprint = self._check_address(environ)
        if self._verifier and not self._verifier.could_verify(_headers(environ), datetime.now(UTC)):
            raise RejectedRequest(401, "bad signature")
        if not (_is_uncompressed(environ) and _is_utf8(environ)):
            raise RejectedRequest(415, ENCODING_REJECTION)
        if length is None and not environ.get("wsgi.input_terminated"):
            raise RejectedRequest(411, "length required")
        return fingerprint

    def _check_address(self, environ: WSGIEnvironment) -> str | None:
        path = _path(environ)
        rest = path.removeprefix(WEBHOOK_PATH)
        if not rest and self._verifier and self._address_optional:
            return None
        if self._signer.account(rest.removeprefix("/")) != self._account:
            raise RejectedRequest(404, "not found")
        return fingerprint_of(path)

    def _read(self, environ: WSGIEnvironment, length: int | None) -> bytes:
        limit = self.max_body if length is None else length
        try:
            body = _read_up_to(environ["wsgi.input"], limit + (length is None))
        except TimeoutError:
            raise RejectedRequest(408, "body too slow") from None
        except OSError:
            raise RejectedRequest(400, "body incomplete") from None
        if len(body) > self.max_body:
            raise RejectedRequest(413, "body too large")
        if not body or (length is not None and len(body) < length):
            raise RejectedRequest(400, "body empty or incomplete")
        if length is None and not _is_complete_json(body):
            raise RejectedRequest(400, "body empty or incomplete")
        return body


def is_webhook_post(environ: WSGIEnvironment) -> bool:
    """Whether a request is a POST to the webhook path."""
    path = _path(environ)
    return environ["REQUEST_METHOD"] == "POST" and (path == WEBHOOK_PATH or path.startswith(WEBHOOK_PATH + "/"))


def _path(environ: WSGIEnvironment) -> str:
    path = environ.get("PATH_INFO", "")
    return path if isinstance(path, str) else ""


def content_length(environ: WSGIEnvironment) -> int | None:
    """Return the stated length of the body in bytes; None without a Content-Length.

    Raises:
        RejectedRequest: the Content-Length is not a number.
    """
    text = environ.get("CONTENT_LENGTH") or ""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise RejectedRequest(400, "bad content length")
    return int(text)


def _is_uncompressed(environ: WSGIEnvironment) -> bool:
    encodings = environ.get("HTTP_CONTENT_ENCODING", "").split(",")
    return all(encoding.strip().lower() in ("", "identity") for encoding in encodings)


def _is_utf8(environ: WSGIEnvironment) -> bool:
    """Whether the stated charset is UTF-8 or its subset ASCII, or none is stated."""
    content_type = environ.get("CONTENT_TYPE", "")
    if "charset" not in content_type.lower():
        return True
    message = Message()
    message["content-type"] = content_type.replace("\r", " ").replace("\n", " ")
    try:
        return not (charset := message.get_content_charset()) or codecs.lookup(charset).name in ("utf-8", "ascii")
    except (LookupError, ValueError):
        return False


def _read_up_to(stream: InputStream, limit: int) -> bytes:
    """Read at most `limit` bytes; fewer if the client stopped. A single read may return less than requested."""
    parts, missing = [], limit
    while missing > 0 and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _is_complete_json(body: bytes) -> bool:
    """Whether a chunked body is complete: a server may end a broken stream like a finished one.

    A truncated object does not parse as JSON.
    """
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _headers(environ: WSGIEnvironment) -> dict[str, str]:
    return {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    }
