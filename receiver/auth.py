"""The gate: WSGI middleware that lets only authenticated bodies through to the door.

Cheap checks first, all of the head: the stated size, the address, that there is a signature where one is asked
for, and that the body is written as we read it. Only then is the body read, once and raw. So who does not know the
address cannot make us read. The signature is verified last, over the very bytes that came.
"""

import codecs
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from wsgiref.types import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

from receiver.responses import CLOSE_CONNECTION, Answer, rejection, send
from runtime.signatures import Verifier
from runtime.signed_address import WEBHOOK_PATH, AddressSigner, fingerprint_of

AUTHENTICATED_REQUEST = "meetergo_inbox.admitted"
ENCODING_REFUSAL = "send the body without content-encoding, and JSON in UTF-8"


@dataclass(frozen=True)
class AuthenticatedRequest:
    """A body that somebody vouched for.

    Attributes:
        account: whose inbox it is for.
        body: the bytes as they came.
        mark: of the signed address that it came by; None if only a signature vouched for it.
    """

    account: str
    body: bytes = field(repr=False)
    mark: str | None = None


class Rejected(Exception):
    """The gate stays shut.

    Attributes:
        answer: what to say.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.answer: Answer = rejection(status, reason, CLOSE_CONNECTION)


class WebhookAuth:
    """Stands before the Flask app and puts an `AuthenticatedRequest` into its environment.

    Args:
        app: what is behind.
        addresses: reads the tokens of signed addresses.
        account: whose inbox this is.
        verifier: verifies the signature header, if one is configured.
        max_body: largest body, in bytes.
        address_optional: whether a signature alone is enough.
    """

    def __init__(
        self,
        app: WSGIApplication,
        addresses: AddressSigner,
        account: str,
        verifier: Verifier | None,
        max_body: int,
        address_optional: bool = False,
    ) -> None:
        self._app = app
        self._addresses = addresses
        self._account = account
        self._verifier = verifier
        self._address_optional = address_optional
        self.max_body = max_body

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Lets a request through, or answers it."""
        if is_webhook_post(environ):
            try:
                environ[AUTHENTICATED_REQUEST] = self.admit(environ, self.check_head(environ))
            except Rejected as refused:
                return send(refused.answer, start_response)
        return self._app(environ, start_response)

    def admit(self, environ: WSGIEnvironment, mark: str | None) -> AuthenticatedRequest:
        """Reads the body and checks it, and the signature over it.

        Args:
            environ: of a request whose head was checked.
            mark: what `check_head` returned.

        Raises:
            Rejected: the body is not whole, too large, too slow, or not vouched for.
        """
        body = self._read(environ, stated_length(environ))
        if self._verifier and not self._verifier.verify(_headers(environ), body, datetime.now(UTC)):
            raise Rejected(401, "bad signature")
        return AuthenticatedRequest(self._account, body, mark)

    def check_head(self, environ: WSGIEnvironment) -> str | None:
        """Checks all that can be checked before a byte of the body is read.

        Returns:
            The mark of the address, if it came by one.

        Raises:
            Rejected: with what to answer.
        """
        stated = stated_length(environ)
        if stated is not None and stated > self.max_body:
            raise Rejected(413, "body too large")
        mark = self._check_address(environ)
        if self._verifier and not self._verifier.could_verify(_headers(environ), datetime.now(UTC)):
            raise Rejected(401, "bad signature")
        if not (_is_identity(environ) and _is_utf8(environ)):
            raise Rejected(415, ENCODING_REFUSAL)
        if stated is None and not environ.get("wsgi.input_terminated"):
            raise Rejected(411, "length required")
        return mark

    def _check_address(self, environ: WSGIEnvironment) -> str | None:
        path = _path(environ)
        rest = path.removeprefix(WEBHOOK_PATH)
        if not rest and self._verifier and self._address_optional:
            return None
        if self._addresses.account(rest.removeprefix("/")) != self._account:
            raise Rejected(404, "not found")
        return fingerprint_of(path)

    def _read(self, environ: WSGIEnvironment, stated: int | None) -> bytes:
        limit = self.max_body if stated is None else stated
        try:
            body = _read_up_to(environ["wsgi.input"], limit + (stated is None))
        except TimeoutError:
            raise Rejected(408, "body too slow") from None
        except OSError:
            raise Rejected(400, "body incomplete") from None
        if len(body) > self.max_body:
            raise Rejected(413, "body too large")
        if not body or (stated is not None and len(body) < stated):
            raise Rejected(400, "body empty or incomplete")
        if stated is None and not _is_whole(body):
            raise Rejected(400, "body empty or incomplete")
        return body


def is_webhook_post(environ: WSGIEnvironment) -> bool:
    """Whether somebody wants to deliver something."""
    path = _path(environ)
    return environ["REQUEST_METHOD"] == "POST" and (path == WEBHOOK_PATH or path.startswith(WEBHOOK_PATH + "/"))


def _path(environ: WSGIEnvironment) -> str:
    path = environ.get("PATH_INFO", "")
    return path if isinstance(path, str) else ""


def stated_length(environ: WSGIEnvironment) -> int | None:
    """How long the body is said to be, in bytes; None if that is not said.

    Raises:
        Rejected: it is no number.
    """
    text = environ.get("CONTENT_LENGTH") or ""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Rejected(400, "bad content length")
    return int(text)


def _is_identity(environ: WSGIEnvironment) -> bool:
    codings = environ.get("HTTP_CONTENT_ENCODING", "").split(",")
    return all(coding.strip().lower() in ("", "identity") for coding in codings)


def _is_utf8(environ: WSGIEnvironment) -> bool:
    """Whether the sender says so, or says nothing; ASCII is UTF-8 too."""
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
    """At most so many bytes; fewer if the client stopped. A server may hand out less than asked for."""
    parts, missing = [], limit
    while missing > 0 and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _is_whole(body: bytes) -> bool:
    """Whether chunks make a whole: a server may end a broken stream like a finished one. Half an object is no JSON."""
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
