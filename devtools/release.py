"""`make release VERSION=1.0.0`: write a version into the files that state it, and print how to tag it."""

import re
import sys
from datetime import UTC, date, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
NUMBER = re.compile(r"(\d+)\.(\d+)\.(\d+)")
UNRELEASED = "## Unreleased\n"
PLACES = {
    "pyproject.toml": 'version = "{}"\n',
    "runtime/version.py": 'VERSION = "{}"\n',
    "deploy/kubernetes/example/kustomization.yaml": 'newTag: "{}"\n',
}
"""File -> the line in which it states the version."""


class NotReleasable(Exception):
    """The version cannot be released; the message says why."""


def prepare(root: Path, version: str, today: date) -> None:
    """Write the version into each file of PLACES, and move the changelog's unreleased entries under it.

    Raises:
        NotReleasable: the version is malformed or older than the current one, the changelog has no unreleased entries
            or already has this version, or a file does not state the current one. Nothing was written.
    """
    found = re.search(r'VERSION = "(.*)"', (root / "runtime" / "version.py").read_text())
    current = found[1] if found else ""
    if not NUMBER.fullmatch(version):
        raise NotReleasable(f"'{version}' is no version such as 1.0.0: make release VERSION=1.0.0")
    if _parts(version) < _parts(current):
        raise NotReleasable(f"{version} is older than {current}")
    changelog = root / "CHANGELOG.md"
    before, title, after = changelog.read_text().partition(UNRELEASED)
    if not title or not after.partition("\n## ")[0].strip():
        raise NotReleasable("CHANGELOG.md has nothing under '## Unreleased'")
    if f"\n## {version} " in after:
        raise NotReleasable(f"CHANGELOG.md has {version} already")
    contents = {}
    for name, line in PLACES.items():
        text = (root / name).read_text()
        if line.format(current) not in text:
            raise NotReleasable(f"{name} does not state {current}")
        contents[root / name] = text.replace(line.format(current), line.format(version))
    contents[changelog] = f"{before}{UNRELEASED}\n## {version} ({today.isoformat()})\n{after}"
    for path, text in contents.items():
        path.write_text(text)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def main() -> None:
    """Prepare the version that the command line names."""
    version = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        prepare(ROOT, version, datetime.now(UTC).date())
    except NotReleasable as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    print(f"Version {version} is written. When `make test lint` is green:\n")
    print(f"  git commit -am 'Release {version}' && git tag -a v{version} -m 'meetergo-inbox {version}'")
    print(f"  git push --follow-tags && docker build -t meetergo-inbox:{version} .")


if __name__ == "__main__":
    main()
