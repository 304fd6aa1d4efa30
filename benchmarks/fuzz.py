"""Generated bad input: configs, data files, tickets and models, command lines; by the tests of the fuzz."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.figures import Figure
from benchmarks.measuring import Say
from benchmarks.outcomes import run_tests

TASK = None
# Without the checks of types that tests have and users have not: they would make sentences of tracebacks.
AS_INSTALLED = ["-o", "addopts=--import-mode=importlib --strict-markers -q"]
KINDS = {
    "test_configs": "configs",
    "test_data": "data files",
    "test_tickets_and_models": "tickets and models",
    "test_command_lines": "command lines",
}


@dataclass(frozen=True)
class Settings:
    """Generated cases, of all kinds together; hypothesis may end a little below."""

    cases: int = 2200
    goal: int = 2000


QUICK = Settings(cases=24, goal=10)


def measure(settings: Settings, say: Say) -> dict[str, Figure]:
    """Cases run and failed: an exit code other than 0 and 2, a traceback, or a write outside the out folder."""
    environment = {"SUPERTICKETS_FUZZ": str(settings.cases)}
    outcomes = [
        one for one in run_tests(["tests/faults/test_fuzz.py"], AS_INSTALLED, environment, say) if one.name in KINDS
    ]
    cases = {KINDS[one.name]: one.noted.get("cases", 0) for one in outcomes}
    failures = sum(one.state != "passed" for one in outcomes)
    say(", ".join(f"{count} {kind}" for kind, count in cases.items()) + f": {failures} failures")
    return {
        "cases": Figure.exact(sum(cases.values()), goal=settings.goal),
        "kinds of case with a failure": Figure.exact(failures, goal=0, better="lower"),
        **{f"cases: {kind}": Figure.exact(count) for kind, count in cases.items()},
    }
