"""`make audit`: the pinned packages against the database of known vulnerabilities, by pip-audit.

Exit codes: 0 all were looked up and none is vulnerable; 1 some are, listed; 4 the database cannot be asked, which is
no pass: pip-audit itself would end with 0 and a list of packages that it skipped.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"
UNREACHABLE = 4


class UnansweredError(Exception):
    """The database of vulnerabilities did not answer."""


def audited(pins: list[str]) -> list[dict[str, Any]]:
    """What pip-audit finds for pinned packages, one entry each.

    Raises:
        UnansweredError: it could not ask, or was told nothing of some of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pins.txt"
        file.write_text("\n".join(pins) + "\n")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(file), "--no-deps", "--disable-pip"]
        done = subprocess.run(
            [*command, "--format=json", "--progress-spinner=off"], capture_output=True, text=True, check=False
        )
    if not done.stdout.strip():
        raise UnansweredError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "pip-audit said nothing")
    return answered(json.loads(done.stdout)["dependencies"])


def answered(dependencies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries, every one of them looked up.

    Raises:
        UnansweredError: some were skipped.
    """
    skipped = [entry["skip_reason"] for entry in dependencies if "skip_reason" in entry]
    if skipped:
        raise UnansweredError(f"{len(skipped)} of {len(dependencies)} packages skipped, as: {skipped[0]}")
    return dependencies


def main() -> int:
    """Ask for one package first, so that a database that is not there is not asked for all."""
    pins = [line for line in CONSTRAINTS.read_text().splitlines() if line and not line.startswith("#")]
    try:
        audited(pins[:1])
        found = audited(pins)
    except UnansweredError as error:
        print(f"make audit: the database of vulnerabilities must answer, but: {error}. Run it where PyPI is reachable")
        return UNREACHABLE
    vulnerable = [(entry, flaw) for entry in found for flaw in entry["vulns"]]
    for entry, flaw in vulnerable:
        print(
            f"{entry['name']} {entry['version']}  {flaw['id']}  mended in {', '.join(flaw['fix_versions']) or 'none'}"
        )
    print(f"make audit: {len(found)} packages looked up, {len({entry['name'] for entry, _ in vulnerable})} vulnerable")
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
