"""The ladder: from a server that only answers to the whole receiver, one stage more on each rung.

`LADDER` in the environment names the rung. What a stage costs is the difference between two rungs. The upper rungs
are the real receiver with stages taken out, the lower ones are the frame with the receiver's own gate before it.
"""

import os
from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog
from flask import Flask

from meetergo.address import WEBHOOK_PATH, Addresses
from models.delivery import Delivery
from models.logs import configure
from models.queue import Bell
from receiver.app import create_app
from receiver.gate import Gate
from receiver.scheduling import wake_without_interrupting
from receiver.settings import ReceiverSettings


def answer_ok(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The least that an app can do."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"OK"]


def server() -> WSGIApplication:
    """Nothing but the server."""
    return answer_ok


def flask() -> WSGIApplication:
    """The server, and Flask with a view that answers OK."""
    app = Flask(__name__)
    app.add_url_rule(f"{WEBHOOK_PATH}/<token>", view_func=lambda token: "OK", methods=["POST"])
    return app


def gate() -> WSGIApplication:
    """The server, and the receiver's own gate: the address is verified, and the body read."""
    settings = ReceiverSettings.load()
    return Gate(
        answer_ok,
        Addresses(settings.webhook_keys),
        settings.webhook_account,
        settings.verifier(),
        settings.webhook_max_body,
    )


def door() -> WSGIApplication:
    """And the door: it names and seals the letter, hands it on, and answers with the delivery's id."""
    Delivery.accept = classmethod(lambda *_: None)  # type: ignore[method-assign,assignment]
    return insert()


def insert() -> WSGIApplication:
    """And it is inserted and committed."""
    Bell.ring = lambda *_: True  # type: ignore[method-assign,assignment]
    return ring()


def ring() -> WSGIApplication:
    """And the bell is rung."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    return log()


def log() -> WSGIApplication:
    """And it is logged."""
    return create_app(ReceiverSettings.load())


def patience() -> WSGIApplication:
    """And woken threads wait for their turn: this is the receiver."""
    wake_without_interrupting()
    return log()


RUNGS: dict[str, Callable[[], WSGIApplication]] = {
    "server": server,
    "flask": flask,
    "gate": gate,
    "door": door,
    "insert": insert,
    "ring": ring,
    "log": log,
    "patience": patience,
}

configure()
app = RUNGS[os.environ["LADDER"]]()
