"""The ladder: from a server that only answers to the whole receiver, one stage more on each rung.

`RECEIVER_STAGE` in the environment names the rung. What a stage costs is the difference between two rungs. The upper
rungs are the real receiver with stages taken out, the lower ones are the frame with the receiver's own gate before it.
"""

import os
from collections.abc import Callable
from typing import Any

import structlog
from flask import Flask
from granian.rsgi import HTTPProtocol, Scope  # type: ignore[attr-defined] # it is their place

from models.delivery import Delivery
from receiver.app import create_app, create_async_app
from receiver.async_app import AsyncApp, environ_of, run_wsgi
from receiver.auth import AuthenticatedRequest, WebhookAuth
from receiver.process import use_batch_scheduling
from receiver.settings import ReceiverSettings
from receiver.thread_pool import ThreadPool
from runtime.logs import configure
from runtime.queue import JobQueue
from runtime.signed_address import WEBHOOK_PATH, AddressSigner

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
        self._app, self._threads = app, ThreadPool("flask", THREADS)

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """One request."""
        await protocol()
        protocol.response_bytes(*await self._threads.run(run_wsgi, self._app.wsgi_app, environ_of(scope)))


class NotStored:
    """In place of the reception: keeps nothing."""

    async def receive(self, _request: AuthenticatedRequest, _threads: ThreadPool) -> Any:
        """OK."""
        return OK


def server() -> object:
    """Nothing but the server."""
    return BareServer()


def flask() -> object:
    """The server, and Flask with a view that answers OK."""
    app = Flask(__name__)
    app.add_url_rule(f"{WEBHOOK_PATH}/<token>", view_func=lambda token: "OK", methods=["POST"])
    return InThreads(app)


def authenticate() -> object:
    """The server, and the receiver's own gate: the address is verified, and the body read."""
    settings = ReceiverSettings.load()
    app = create_app(settings)
    authenticate = WebhookAuth(
        app.wsgi_app,
        AddressSigner(settings.webhook_keys),
        settings.webhook_account,
        settings.verifier(),
        settings.webhook_max_body,
    )
    readiness = app.extensions["readiness"]
    return AsyncApp(app.wsgi_app, authenticate, NotStored(), readiness, THREADS)  # type: ignore[arg-type] # stands in for WebhookView


def ingest() -> object:
    """And the door: it names and seals the letter, hands it on, and answers with the delivery's id."""
    Delivery.accept = classmethod(lambda *_: None)  # type: ignore[method-assign,assignment]
    return insert()


def insert() -> object:
    """And it is inserted and committed."""
    JobQueue.trigger_drain = lambda *_: True  # type: ignore[method-assign,assignment]
    return trigger_drain()


def trigger_drain() -> object:
    """And the bell is rung."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    return log()


def log() -> object:
    """And it is logged."""
    settings = ReceiverSettings.load()
    return create_async_app(create_app(settings), settings.web_threads)


def batch_scheduling() -> object:
    """And woken threads wait for their turn: this is the receiver."""
    use_batch_scheduling()
    return log()


STAGES: dict[str, Callable[[], object]] = {
    "server": server,
    "flask": flask,
    "gate": authenticate,
    "door": ingest,
    "insert": insert,
    "ring": trigger_drain,
    "log": log,
    "patience": batch_scheduling,
}

configure()
app = STAGES[os.environ["RECEIVER_STAGE"]]()
