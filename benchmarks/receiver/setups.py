"""The setups: what runs, with which settings and why, and where it stores deliveries."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.receiver.server import PATH, SECRET
from benchmarks.stores import KINDS, NAMES, Kind
from runtime.signed_address import WEBHOOK_PATH

Where = Literal[
    "",
    "later",
    "rows",
    "webhooks",
    "rq:queue:default",
    "celery",
    "dramatiq:default",
    "arq:queue",
    "bull:deliveries:wait",
]
"""Nowhere, some time after the answer, in rows of the database, or in a list or a sorted set of Redis."""


@dataclass(frozen=True)
class ReceiverSetup:
    """A server and how it is run.

    Attributes:
        command: arguments of Python, or of node.
        stores_in: where each delivery is after its 200.
        why: its configuration in a few words, and the reason.
        kind: of its database, if it has one.
        interpreter: which environment it lives in.
        env: settings that are not the defaults.
        path: what is posted to.
        wraps: makes the body that is sent of one of ours.
    """

    command: str
    stores_in: Where
    why: str
    kind: Kind | None = None
    interpreter: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    path: str = WEBHOOK_PATH
    wraps: Callable[[bytes], bytes] | None = None


SYNC = "-m gunicorn --bind 127.0.0.1:{port} %s:app"
THREADED = "-m gunicorn --bind 127.0.0.1:{port} --worker-class gthread --threads 4 %s:app"
WHY_SYNC = "gunicorn as it comes: one sync worker, which closes the line after each answer"
WHY_THREADED = "gunicorn, one gthread worker with 4 threads, as its documentation shows"
WHY_OURS = "`python -m receiver` with `BODY_KEYS`, else default settings: a row is committed before each 200"
WHY_GRANIAN = "Granian with the options of `python -m receiver`, but for WSGI: 64 threads"

BARE = "bare Flask view"
SIGNED = "meetergo-inbox, PostgreSQL, signature too"
NAIVE = ("naive, gunicorn sync", "naive, gunicorn gthread")
NAIVE_ON_OURS = "naive, Granian"
FASTIFY, POOL_SIZE = "Fastify + pg", 10
OTHERS = {
    "FastAPI + arq": ("FastAPI + arq",),
    "Flask + Celery": ("Flask + Celery, gunicorn sync", "Flask + Celery, gunicorn gthread"),
    "Flask + Dramatiq": ("Flask + Dramatiq, gunicorn sync", "Flask + Dramatiq, gunicorn gthread"),
}
"""Setups that run in two ways; the better one counts."""


def ours(kind: Kind) -> str:
    """Return the name of the receiver on this database."""
    return f"meetergo-inbox, {NAMES[kind]}"


def in_plain_text(kind: Kind) -> str:
    """Return the name of the receiver that does not encrypt."""
    return f"{ours(kind)}, bodies in plain text"


def _as_in_the_recipe(body: bytes) -> bytes:
    """Return the body in the shape that the recipe's sample reads: `event`, and the appointment as `data`."""
    said = json.loads(body)
    data = said.get("data", said)
    event = said.get("webhookType") or said["event"]
    return json.dumps({"event": event, "data": data.get("rescheduledAppointment", data)}).encode()


SETUPS: dict[str, ReceiverSetup] = {
    **{ours(kind): ReceiverSetup("-m receiver", "rows", WHY_OURS, kind, path=PATH) for kind in KINDS},
    **{
        in_plain_text(kind): ReceiverSetup(
            "-m receiver", "rows", "the same without `BODY_KEYS`", kind, env={"BODY_KEYS": ""}, path=PATH
        )
        for kind in KINDS
    },
    SIGNED: ReceiverSetup(
        "-m receiver",
        "rows",
        "the same with `BODY_KEYS`, and it verifies the HMAC over the body that the others verify",
        "postgresql",
        env={
            "WEBHOOK_SIGNATURE_SCHEME": "hex",
            "WEBHOOK_SIGNATURE_SECRETS": SECRET,
            "WEBHOOK_SIGNATURE_HEADER": "X-Signature",
        },
        path=PATH,
    ),
    BARE: ReceiverSetup("on_our_server.py bare:app", "", f"{WHY_GRANIAN}; answers `OK` and keeps nothing"),
    NAIVE[0]: ReceiverSetup(SYNC % "naive", "rq:queue:default", WHY_SYNC),
    NAIVE[1]: ReceiverSetup(THREADED % "naive", "rq:queue:default", WHY_THREADED),
    NAIVE_ON_OURS: ReceiverSetup("on_our_server.py naive:app", "rq:queue:default", WHY_GRANIAN),
    "FastAPI + arq": ReceiverSetup(
        "-m uvicorn --port {port} --no-access-log with_arq:app",
        "arq:queue",
        "uvicorn with uvloop and httptools, no access log; one pool, made in the lifespan",
        interpreter="redis5",
    ),
    "Flask + Celery, gunicorn sync": ReceiverSetup(SYNC % "with_celery", "celery", WHY_SYNC),
    "Flask + Celery, gunicorn gthread": ReceiverSetup(THREADED % "with_celery", "celery", WHY_THREADED),
    "Flask + Dramatiq, gunicorn sync": ReceiverSetup(SYNC % "with_dramatiq", "dramatiq:default", WHY_SYNC),
    "Flask + Dramatiq, gunicorn gthread": ReceiverSetup(THREADED % "with_dramatiq", "dramatiq:default", WHY_THREADED),
    FASTIFY: ReceiverSetup(
        "fastify_pg.js",
        "webhooks",
        f"one process, {POOL_SIZE} connections, a prepared `INSERT`; keeps the body as it is, and logs nothing",
        "postgresql",
        interpreter="node",
        env={"POOL_SIZE": str(POOL_SIZE)},
    ),
    "Fastify + BullMQ": ReceiverSetup(
        "fastify_bullmq.js",
        "bull:deliveries:wait",
        "one process, one queue on one ioredis connection, as its documentation shows; logs nothing",
        interpreter="node",
    ),
    "Express, the recipe's sample": ReceiverSetup(
        "express_recipe.js",
        "later",
        "the sample of meetergo's recipe, line by line, with pg's pool of 10; it verifies nothing, and answers first",
        "postgresql",
        interpreter="node",
        wraps=_as_in_the_recipe,
    ),
}
