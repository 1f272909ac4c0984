"""A receiver in this process: requests as a WSGI environment has them, through the app that Granian would serve."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from threading import Lock, Thread
from typing import Any

from granian.rsgi import ProtocolClosed
from werkzeug.test import Client

from receiver.webhook import ReceiverApp

STARTING = Lock()


class Headers(list[tuple[str, str]]):
    """As Granian has them; a value that is not ASCII is hidden."""

    def items(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self if value.isascii()]

    def keys(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self))


@dataclass
class Scope:
    headers: Headers
    method: str = "POST"
    path: str = ""
    query_string: str = ""
    server: str = "127.0.0.1:8000"
    client: str = "127.0.0.1:5000"
    scheme: str = "http"
    http_version: str = "1.1"


@dataclass
class Protocol:
    """A body in parts; a number is a pause in seconds, and None a line that broke."""

    parts: Iterable[bytes | float | None]
    responses: list[tuple[int, list[tuple[str, str]], bytes]] = field(default_factory=list)

    async def __call__(self) -> bytes:
        return b"".join([part async for part in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            if part is None:
                raise ProtocolClosed
            if isinstance(part, bytes):
                yield part
            else:
                await asyncio.sleep(part)

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.responses.append((status, headers, body))


@dataclass(frozen=True)
class ReceiverInProcess:
    """A receiver that a WSGI client can ask. Its event loop runs in a thread of its own."""

    app: ReceiverApp

    def test_client(self) -> Client:
        return Client(self.wsgi)

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
        protocol = Protocol(_parts(environ))
        request = self.app.__rsgi__(_scope(environ), protocol)  # type: ignore[arg-type] # Granian's, as far as it is used
        with STARTING:  # a cached function may run twice at once, and the app belongs to one loop
            loop = _loop()
        asyncio.run_coroutine_threadsafe(request, loop).result()
        [(status, headers, body)] = protocol.responses
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [body]


def _scope(environ: dict[str, Any]) -> Scope:
    names = [name for name in environ if name.startswith("HTTP_") or (name.startswith("CONTENT_") and environ[name])]
    headers = Headers((name.removeprefix("HTTP_").replace("_", "-").lower(), environ[name]) for name in names)
    headers[:] = [header for header in headers if header[0] != "transfer-encoding"]  # it is the server's to read
    if environ.get("wsgi.input_terminated") and not environ.get("CONTENT_LENGTH"):
        headers.append(("transfer-encoding", "chunked"))
    path = environ["PATH_INFO"].encode("latin-1", "replace").decode("utf-8", "surrogateescape")
    return Scope(headers, environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""))


def _parts(environ: dict[str, Any]) -> Iterable[bytes | None]:
    """The body, read when it is asked for; up to its stated length, since the server reads no further."""
    length = environ.get("CONTENT_LENGTH", "")
    missing = int(length) if length.isdecimal() else 2**62
    while missing > 0:
        try:
            part = environ["wsgi.input"].read(min(missing, 1000))
        except OSError:
            yield None
            return
        if not part:
            return
        missing -= len(part)
        yield part


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, name="receiver's loop", daemon=True).start()
    return loop
