"""The ladder: the stages of our door, one more on each rung. What a rung costs more than the one below is the stage."""

from dataclasses import dataclass

from benchmarks.door.contestants import Contestant
from benchmarks.door.server import PATH
from benchmarks.stores import KINDS, NAMES, Kind

FRAME = ("server", "gate")
"""Rungs that know no database."""
BESIDE = "flask"
"""What a delivery does not pass: Flask with a view that answers OK."""
DOOR = ("door", "insert", "ring", "log", "patience")


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
    "patience": Stage("patience", "woken threads wait for their turn (`receiver/scheduling.py`): what it saves"),
}


def rung(name: str, kind: Kind | None) -> str:
    """What it is called in the results."""
    return f"{name}, {NAMES[kind]}" if kind else name


def rungs() -> dict[str, Contestant]:
    """All of them, on both databases."""
    frame: dict[str, Contestant] = {rung(name, None): _contestant(name, None) for name in (*FRAME, BESIDE)}
    return frame | {rung(name, kind): _contestant(name, kind) for kind in KINDS for name in DOOR}


def _contestant(name: str, kind: Kind | None) -> Contestant:
    keeps = "rows" if name in DOOR[1:] else ""
    return Contestant("on_our_server.py ladder:app", keeps, "", kind, env={"LADDER": name}, path=PATH)
