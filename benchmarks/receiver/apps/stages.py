"""From a server that only answers to the whole receiver: each setup has one stage more than the one before.

`RECEIVER_STAGE` in the environment names the setup. A stage costs the difference between two setups. The later ones are
the real receiver with stages removed, the earlier ones only a server.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import structlog
from flask import Flask
from granian.rsgi import HTTPProtocol, Scope  # type: ignore[attr-defined] # its documented module

from models.delivery import Delivery
from receiver.app import create_app
from receiver.auth import RequestAddress
from receiver.ingest import Ingest
from receiver.process import use_batch_scheduling
from receiver.settings import ReceiverSettings
from runtime.http.wsgi import call, environ
from runtime.logs import configure
from runtime.queue import JobQueue
from runtime.signed_address import WEBHOOK_PATH

OK = (200, [("content-type", "text/plain"), ("content-length", "2")], b"OK")
THREADS = 64


class BareServer:
    """Reads the body, and answers OK."""

    async def __rsgi__(self, _scope: Scope, protocol: HTTPProtocol) -> None:
        """One request."""
        await protocol()
        protocol.response_bytes(*OK)


class InThreads:
    """Reads the body, and asks Flask in a thread."""

    def __init__(self, app: Flask) -> None:
        self._app, self._threads = app, ThreadPoolExecutor(THREADS)

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """One request."""
        await protocol()
        loop = asyncio.get_running_loop()
        protocol.response_bytes(*await loop.run_in_executor(self._threads, call, self._app.wsgi_app, environ(scope)))


def server() -> object:
    """Nothing but the server."""
    return BareServer()


def flask() -> object:
    """The server, and Flask with a view that answers OK."""
    app = Flask(__name__)
    app.add_url_rule(f"{WEBHOOK_PATH}/<token>", view_func=lambda token: "OK", methods=["POST"])
    return InThreads(app)


def authenticate() -> object:
    """The server, and the receiver's own authentication: the address is verified, and the body read."""

    async def accept(_ingest: Ingest, _address: RequestAddress, _body: bytes, _now: datetime) -> str:
        """Keep nothing."""
        return "0" * 64

    Ingest.accept = accept  # type: ignore[method-assign]
    return trigger_drain()


def ingest() -> object:
    """And ingest: it identifies and encrypts the body, hands it on, and answers with the delivery's id."""
    Delivery.accept = classmethod(lambda *_: None)  # type: ignore[method-assign,assignment]
    return insert()


def insert() -> object:
    """And it is inserted and committed."""
    JobQueue.trigger_drain = lambda *_: True  # type: ignore[method-assign,assignment]
    return trigger_drain()


def trigger_drain() -> object:
    """And a drain is triggered."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    return log()


def log() -> object:
    """And it is logged."""
    return create_app(ReceiverSettings.load())


def batch_scheduling() -> object:
    """And woken threads do not preempt: this is the receiver."""
    use_batch_scheduling()
    return log()


STAGES: dict[str, Callable[[], object]] = {
    "server": server,
    "flask": flask,
    "auth": authenticate,
    "ingest": ingest,
    "insert": insert,
    "trigger": trigger_drain,
    "log": log,
    "batch_scheduling": batch_scheduling,
}

configure()
app = STAGES[os.environ["RECEIVER_STAGE"]]()
