"""`python -m tests.incident`: plays the incident and writes what the screen showed into docs/operations.md."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.incident.incident import House, play

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "operations.md"
BEGIN, END = "<!-- the incident: make runbook -->", "<!-- its end -->"
LONGEST_SECONDS = 300
LONGEST_STEP = 34

TOLD = (
    "The hosts of a platform wonder where their bookings are; somebody has deployed a hook that fails.",
    "The operators' channel says so first:",
    "How bad is it?",
    "Which, and why?",
    "Is it one cause or several?",
    "One of them in full:",
    "The hook is repaired, and the workers are restarted. What would a replay do?",
    "That is right. So:",
    "And now?",
    "What became of one of them:",
)


def main() -> None:
    """Plays and writes."""
    with tempfile.TemporaryDirectory() as folder:
        scene = play(Path(folder), f"runbook-{os.getpid()}", _until)
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{_tale(scene)}\n{END}{after}")


def _tale(scene: House) -> str:
    sent, *steps = [text for _, text in scene.shown]
    alarm, over = (_block("\n".join(told), "text") for told in scene.operators.told)
    parts = [f"{TOLD[0]}\n\n{_block(sent)}", f"{TOLD[1]}\n\n{alarm}"]
    parts += [f"{said}\n\n{_block(text)}" for said, text in zip(TOLD[2:], steps, strict=True)]
    parts.append(f"A minute later the channel says:\n\n{over}")
    return "\n".join(parts)


def _block(text: str, language: str = "console") -> str:
    lines = text.splitlines()
    if len(lines) > LONGEST_STEP:
        lines = [*lines[: LONGEST_STEP - 14], "...", *lines[-13:]]
    return "\n".join([f"```{language}", *lines, "```", ""])


def _until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit("it did not happen: is the machine too busy?")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
