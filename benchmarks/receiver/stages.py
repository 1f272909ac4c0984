"""The stages of the receiver: each setup has one more; a stage costs the difference to the setup before."""

from dataclasses import dataclass

from benchmarks.receiver.server import PATH
from benchmarks.receiver.setups import ReceiverSetup
from benchmarks.stores import KINDS, NAMES, Kind

SERVER_STAGES = ("server", "auth")
"""Stages without a database."""
FLASK_STAGE = "flask"
"""For comparison only: Flask with a view that answers OK. A delivery does not pass it."""
RECEIVER_STAGES = ("ingest", "insert", "trigger", "log", "batch_scheduling")


@dataclass(frozen=True)
class Stage:
    """The description of a stage."""

    title: str
    what: str


STAGES: dict[str, Stage] = {
    "server": Stage("server", "Granian: HTTP, the event loop, the body read, and the response"),
    "auth": Stage("body and verification", "authentication: head, signed address, deadline"),
    "ingest": Stage("ingest and response", "id (SHA-256), encryption, wait for the group commit, the JSON response"),
    "insert": Stage("insert", "its share of the group's commit, and the database's own work"),
    "trigger": Stage("trigger", "its share of the trigger, and Redis' own work"),
    "log": Stage("log", "a line of JSON for each delivery, rendered and written for the group"),
    "batch_scheduling": Stage(
        "scheduling", "a woken thread does not preempt (SCHED_BATCH, `receiver/process.py`): what it saves"
    ),
}


def stage_name(name: str, kind: Kind | None) -> str:
    """Return its name in the results."""
    return f"{name}, {NAMES[kind]}" if kind else name


def stage_setups() -> dict[str, ReceiverSetup]:
    """Return all setups, on both databases."""
    frame: dict[str, ReceiverSetup] = {
        stage_name(name, None): _setup(name, None) for name in (*SERVER_STAGES, FLASK_STAGE)
    }
    return frame | {stage_name(name, kind): _setup(name, kind) for kind in KINDS for name in RECEIVER_STAGES}


def _setup(name: str, kind: Kind | None) -> ReceiverSetup:
    stores_in = "rows" if name in RECEIVER_STAGES[1:] else ""
    return ReceiverSetup("on_our_server.py stages:app", stores_in, "", kind, env={"RECEIVER_STAGE": name}, path=PATH)
