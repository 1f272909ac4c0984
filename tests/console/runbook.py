"""`python -m tests.console.runbook`: run the incident and write it into `docs/operations.md`."""

import re
from collections.abc import Iterator

from devtools.processes import ROOT
from tests.console.incident import Step, incident, run_incident

PAGE = ROOT / "docs" / "operations.md"
BEGIN, END = "<!-- The runbook begins: `make runbook` writes it. -->", "<!-- The runbook ends. -->"
LEFT_OUT = "[...]"

ALL = 1000
TEXTS: dict[str, tuple[str, int, int]] = {
    "healthy": ("Everything is as it should be.", ALL, 0),
    "alarm": (
        "Then the platform is deployed with a mistake in its `PLATFORM_HOOK`: each delivery dies. Within 15 seconds, "
        "`ALERT_CHANNELS` is notified, once:",
        ALL,
        0,
    ),
    "status": ("**Look.** `status` shows the same, and its exit code tells scripts.", ALL, 0),
    "list": ("The last of them:", ALL, 0),
    "errors": ("One cause, or several?", ALL, 0),
    "show": ("One of them in full: what it says, each failed attempt, what it changed, who was notified.", 19, 3),
    "booking": (
        "Its booking was made before the incident, and should have been moved. Guests and hosts see the old time until "
        "this is repaired.",
        2,
        6,
    ),
    "tail": ("What is happening now? Without `--no-follow` it goes on until Ctrl-C.", 1, 4),
    "dry_run": (
        "**What would a replay do now?** A dry run calls the hook as it is installed here, and rolls everything back. "
        "As long as it is broken, that says so:",
        ALL,
        0,
    ),
    "repair": (
        "**Repair the cause.** Here it was a name. Then restart the workers, since they have loaded the old code: each "
        "finishes what it does.",
        ALL,
        0,
    ),
    "repaired": ("The same dry run now shows what each booking would become, and who would be notified:", ALL, 0),
    "replay": (
        "**Replay.** It shows that again, asks, and goes no faster than `--rate`. Ctrl-C would stop it "
        "between two chunks, and the same command would do the rest.",
        3,
        4,
    ),
    "over": ("When no delivery has been dead for a minute, `ALERT_CHANNELS` is notified of that too:", ALL, 0),
    "resolved": ("**Make sure.**", ALL, 0),
    "timeline": ("The booking is right, and its timeline tells the whole story:", 2, 14),
}
"""Text before each step, and the number of lines shown from its beginning and end."""


def main() -> None:
    """Run it with the real scheduler, which takes about two minutes."""
    with incident() as it:
        section = "\n\n".join(paragraph for step in run_incident(it) for paragraph in _paragraphs(step))
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{section}\n\n{END}{after}")


def _paragraphs(step: Step) -> Iterator[str]:
    says, first, last = TEXTS[step.name]
    yield says
    lines = re.sub(r"127\.0\.0\.1:\d+", "platform.example", step.screen).splitlines()
    if len(lines) > first + last:
        lines = [*lines[:first], LEFT_OUT, *lines[len(lines) - last :]]
    language = "console" if lines[0].startswith("$ ") else "text"
    yield "\n".join([f"```{language}", *lines, "```"])


if __name__ == "__main__":
    main()
