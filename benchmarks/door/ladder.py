"""The ladder: the stages of our door, one more on each rung. What a rung costs more than the one below is the stage."""

from dataclasses import dataclass

from benchmarks.door.contestants import Contestant
from benchmarks.door.server import PATH
from benchmarks.stores import KINDS, NAMES, Kind

FRAME = ("server", "flask", "body", "gate")
"""Rungs that know no database."""
DOOR = ("door", "insert", "ring", "log")


@dataclass(frozen=True)
class Stage:
    """What a rung adds, in words."""

    title: str
    what: str


STAGES: dict[str, Stage] = {
    "server": Stage("server", "Granian: HTTP, threads, and the answer over the line"),
    "flask": Stage("Flask", "its request, its routing, its answer: with the server this is the bare view"),
    "body": Stage("body", "read, once"),
    "gate": Stage("verification", "the gate: size, signed address, all before the door"),
    "door": Stage("door and answer", "name (SHA-256), seal, hand over, the JSON answer with its id"),
    "insert": Stage("insert", "with its commit, and the database's own work"),
    "ring": Stage("ring", "the bell, and Redis' own work"),
    "log": Stage("log", "a line of JSON for each delivery"),
}


def rung(name: str, kind: Kind | None) -> str:
    """What it is called in the results."""
    return f"{name}, {NAMES[kind]}" if kind else name


def rungs() -> dict[str, Contestant]:
    """All of them, on both databases."""
    frame: dict[str, Contestant] = {rung(name, None): _contestant(name, None) for name in FRAME}
    return frame | {rung(name, kind): _contestant(name, kind) for kind in KINDS for name in DOOR}


def _contestant(name: str, kind: Kind | None) -> Contestant:
    keeps = "rows" if name in DOOR[1:] else ""
    return Contestant("on_our_server.py ladder:app", keeps, "", kind, env={"LADDER": name}, path=PATH)
