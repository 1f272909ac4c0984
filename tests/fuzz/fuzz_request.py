"""A fuzzed request, as a WSGI server passes it on, and whether it may be accepted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from runtime.signatures import Verifier
from runtime.signed_address import WEBHOOK_PATH
from tests.fuzz.corpus import load
from tests.fuzz.mutation import Mutator
from tests.fuzz.signed import SECRET, Signed
from tests.fuzz.stream import Stream
from tests.fuzz.verifier import is_ours

PARTS: dict[str, Any] = load("requests")
MAX_BODY = 4096


@dataclass(frozen=True)
class FuzzRequest:
    """One request.

    Attributes:
        environ: everything but the body.
        stream: step and breaking point of the body.
        content: the body's bytes.
        signed: what was signed, if anything.
        tokens: those that we signed.
    """

    environ: Mapping[str, Any]
    stream: tuple[int, int | None]
    content: bytes
    signed: Signed | None
    tokens: list[str] = field(repr=False)

    def opened(self) -> dict[str, Any]:
        """Return a fresh environment with the body at its beginning."""
        return {**self.environ, "wsgi.input": Stream(self.content, *self.stream), "wsgi.errors": BytesIO()}

    @property
    def body(self) -> bytes:
        """Return what may be stored of it: the content up to its declared length, which must be a number."""
        stated = self.environ.get("CONTENT_LENGTH")
        return self.content[: int(stated)] if stated else self.content

    def is_whole(self) -> bool:
        """Whether the body is as long as declared."""
        stated = self.environ.get("CONTENT_LENGTH")
        breaks_at = self.stream[1]
        return (not stated or len(self.body) == int(stated)) and (breaks_at is None or breaks_at >= len(self.body))

    def is_acceptable(self, scheme: str) -> bool:
        """Whether it is authenticated: by an address of ours, and by a signature where required."""
        path = self.environ["PATH_INFO"]
        token = path.removeprefix(WEBHOOK_PATH + "/")
        is_addressed = token != path and token.count(".") == 1 and is_ours(token, self.tokens)
        if scheme and path in (WEBHOOK_PATH, WEBHOOK_PATH + "/"):
            is_addressed = True
        return self.environ["REQUEST_METHOD"] == "POST" and is_addressed and (not scheme or self._is_signed(scheme))

    def _is_signed(self, scheme: str) -> bool:
        if self.signed is None or self.signed.scheme != scheme:
            return False
        headers = {name[5:].replace("_", "-").lower(): value for name, value in self.environ.items()}
        return self.signed.allows(headers, self.body, datetime.now(UTC))


class RequestFuzzer:
    """Makes requests: valid ones with mistakes.

    Args:
        mutator: makes the mistakes.
        tokens: those that we signed.
    """

    def __init__(self, mutator: Mutator, tokens: list[str]) -> None:
        self._mutator = mutator
        self._rng = mutator.rng
        self._tokens = tokens

    def fuzz_request(self, scheme: str) -> FuzzRequest:
        """Make the next request, for a receiver with this signature scheme, or without one."""
        rng = self._rng
        content = rng.choice(PARTS["bodies"]).encode()
        if rng.randrange(2):
            content = self._mutator.bytes(content)
        signed = self._sign(scheme, content) if scheme and rng.randrange(8) else None
        if not rng.randrange(12):
            content = self._mutator.bytes(content)
        if not rng.randrange(100):
            content *= 1 + 2 * MAX_BODY // (len(content) or 1)
        environ = {
            "REQUEST_METHOD": rng.choice(PARTS["methods"]) if not rng.randrange(4) else "POST",
            "PATH_INFO": self._path(),
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": "http",
            **self._length(content),
            **self._headers(signed),
        }
        breaks_at = rng.randrange(len(content) + 1) if not rng.randrange(20) else None
        return FuzzRequest(environ, (rng.choice([1, 7, 100, 100_000]), breaks_at), content, signed, self._tokens)

    def _path(self) -> str:
        rng, token = self._rng, self._rng.choice(self._tokens)
        if not rng.randrange(6):
            token = self._mutator.header(token)
        path = f"{WEBHOOK_PATH}/{token}"
        if not rng.randrange(4):
            path = rng.choice(PARTS["paths"]).replace("{token}", token)
        return path if rng.randrange(10) else self._mutator.header(path)

    def _length(self, content: bytes) -> dict[str, Any]:
        rng = self._rng
        choice = rng.randrange(10)
        terminated = {"wsgi.input_terminated": True} if rng.randrange(3) else {}
        if choice < 5:
            return {"CONTENT_LENGTH": str(len(content)), **terminated}
        if choice < 7:
            return terminated
        if choice == 7:
            return {"CONTENT_LENGTH": str(rng.randrange(len(content) + 3)), **terminated}
        if choice == 8:
            return {"CONTENT_LENGTH": rng.choice(PARTS["lengths"]), **terminated}
        return {"CONTENT_LENGTH": self._mutator.header(str(len(content))), **terminated}

    def _headers(self, signed: Signed | None) -> dict[str, str]:
        rng, mutator = self._rng, self._mutator
        chosen = rng.sample(sorted(PARTS["headers"]), rng.randrange(4))
        headers = {name: rng.choice(PARTS["headers"][name]) for name in chosen}
        for name in chosen:
            if rng.randrange(2):
                headers[name] = mutator.header(headers[name])
        if not rng.randrange(20):
            headers["HTTP_" + mutator.header("X").upper().replace("-", "_")] = mutator.header("x")
        for name, value in (signed.headers if signed else {}).items():
            headers["HTTP_" + name.upper().replace("-", "_")] = value if rng.randrange(8) else mutator.header(value)
        return headers

    def _sign(self, scheme: str, body: bytes) -> Signed:
        now = datetime.now(UTC).replace(microsecond=0)
        return Signed(scheme, Verifier(scheme, [SECRET]).sign(body, "msg_1", now), body, now)


def request_fuzzer(mutator: Mutator) -> RequestFuzzer:
    """Return the corpus tokens that name the receiver's account."""
    return RequestFuzzer(mutator, [token for token in load("tokens")["good"] if token.startswith("default.")])
