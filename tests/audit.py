"""A script of `make lint`: known vulnerabilities of the pinned versions, by pip-audit.

It asks a service on the network. Where that cannot be reached it says so in a line, and that is no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PINNED = Path(__file__).resolve().parent.parent / "constraints.txt"
LONGEST = 300  # seconds


def main() -> int:
    """1 where a pinned version is known to be vulnerable, with a line for each; else 0."""
    command = [sys.executable, "-m", "pip_audit", "-r", str(PINNED), "--no-deps", "--disable-pip", "--format", "json"]
    command += ["--progress-spinner", "off", "--timeout", "10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST)
        audited = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        print(f"pip-audit: not run, as the service did not answer within {LONGEST} s")
        return 0
    except ValueError:  # no JSON: it got no answer
        why = done.stderr.strip().splitlines() or ["no answer"]
        print(f"pip-audit: not run, as the service cannot be reached ({why[-1][:150]})")
        return 0
    found = [f"{one['name']} {one['version']}: {fault['id']}" for one in audited for fault in one.get("vulns", [])]
    print("\n".join(found) or f"pip-audit: nothing known of {len(audited)} pinned versions")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
