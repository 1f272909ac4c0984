"""Look for known vulnerabilities in requirements.hashes.txt with pip-audit, as `make audit` does.

Exit codes: 0 none is known, 1 some are, 3 the data about some or all packages could not be reached: nothing is known of
those.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
NONE_KNOWN, VULNERABLE, UNREACHABLE = 0, 1, 3
TIMEOUT_SECONDS = 300
AUDIT = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]


def main(*command: str) -> int:
    """Run pip-audit and print what it found.

    Args:
        command: what to run in its place.
    """
    requirements = str(ROOT / "requirements.hashes.txt")
    audit = [*(command or (sys.executable, "-m", "pip_audit")), *AUDIT, "--requirement", requirements]
    try:
        done = subprocess.run(audit, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)  # noqa: S603
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return _unreachable(f"no answer within {TIMEOUT_SECONDS} seconds")
    except (ValueError, KeyError):
        return _unreachable((done.stderr.strip().splitlines() or ["pip-audit printed nothing"])[-1])
    found = [(package, each) for package in packages for each in package.get("vulns", [])]
    for package, each in found:
        fixed = ", ".join(each.get("fix_versions", [])) or "no version yet"
        print(f"{package['name']} {package['version']}: {each['id']}, fixed in {fixed}")
    skipped = [package["skip_reason"] for package in packages if "skip_reason" in package]
    if len(skipped) < len(packages):
        print(f"{len(found)} known vulnerabilities in {len(packages) - len(skipped)} packages.")
    if found:
        return VULNERABLE
    return _unreachable(f"{len(skipped)} packages, such as: {skipped[0]}") if skipped else NONE_KNOWN


def _unreachable(reason: str) -> int:
    print(f"The data about vulnerabilities could not be reached: {reason[:300]}", file=sys.stderr)
    return UNREACHABLE


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
