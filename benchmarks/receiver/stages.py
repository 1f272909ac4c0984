"""The ladder: the stages of our door, one more on each rung. What a rung costs more than the one below is the stage."""

from dataclasses import dataclass

from benchmarks.receiver.server import PATH
from benchmarks.receiver.setups import ReceiverSetup
from benchmarks.stores import KINDS, NAMES, Kind

SERVER_STAGES = ("server", "gate")
"""Rungs that know no database."""
FLASK_STAGE = "flask"
"""What a delivery does not pass: Flask with a view that answers OK."""
RECEIVER_STAGES = ("door", "insert", "ring", "log", "patience")


@dataclass(frozen=True)
class Stage:
    """What a rung adds, in words."""

    title: str
    what: str


STAGES: dict[str, Stage] = {
    "server": Stage("server", "Granian: HTTP, the event loop, the body read, and the answer over the line"),
    "gate": Stage("body and verification", "the gate: head, signed address, deadline"),
    "door": Stage("door and answer", "name (SHA-256), seal, wait for the group, the JSON answer with its id"),
    "insert": Stage("insert", "its share of the group's commit, and the database's own work"),
    "ring": Stage("ring", "its share of the bell, and Redis' own work"),
    "log": Stage("log", "a line of JSON for each delivery"),
    "patience": Stage(
        "patience", "a woken thread waits for its turn (SCHED_BATCH, `receiver/process.py`): what it saves"
    ),
}


def stage_name(name: str, kind: Kind | None) -> str:
    """What it is called in the results."""
    return f"{name}, {NAMES[kind]}" if kind else name


def stage_setups() -> dict[str, ReceiverSetup]:
    """All of them, on both databases."""
    frame: dict[str, ReceiverSetup] = {
        stage_name(name, None): _setup(name, None) for name in (*SERVER_STAGES, FLASK_STAGE)
    }
    return frame | {stage_name(name, kind): _setup(name, kind) for kind in KINDS for name in RECEIVER_STAGES}


def _setup(name: str, kind: Kind | None) -> ReceiverSetup:
    stores_in = "rows" if name in RECEIVER_STAGES[1:] else ""
    return ReceiverSetup("on_our_server.py stages:app", stores_in, "", kind, env={"RECEIVER_STAGE": name}, path=PATH)
