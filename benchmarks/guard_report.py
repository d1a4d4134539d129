"""What the guard makes of labelled commands: `python benchmarks/guard_report.py FILE.jsonl [--attended] [--wrong] [--fold K/N]`.

A line of the file is {"command", "expected": allow|ask|deny, "category"}. Stop is ask or deny. The rates are per
category; `--wrong` lists every command whose verdict is not its label; `--fold 0/5` takes the fifth of the commands
whose digest falls there.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import msgspec

from overnight.guard.decide import decide
from overnight.guard.ledger import Ledger
from overnight.guard.policy import ATTENDED, GuardPolicy
from overnight.guard.verdict import Call, Decision
from overnight.guard.world import Bounds, NoWorld

BOUNDS = Bounds(worktree="/home/user/project", home="/home/user")


class Case(msgspec.Struct, frozen=True):
    """A labelled command."""

    command: str
    expected: Decision
    category: str = "all"


def load(path: str, fold: str | None) -> list[Case]:
    """The cases of a file, or of one fold of it."""
    cases = [msgspec.json.decode(line, type=Case) for line in Path(path).read_bytes().splitlines() if line.strip()]
    if fold is None:
        return cases
    which, of = map(int, fold.split("/"))
    return [case for case in cases if int(hashlib.sha256(case.command.encode()).hexdigest(), 16) % of == which]


def percent(part: int, whole: int) -> str:
    """A rate, or a dash where there is nothing to rate."""
    return f"{100 * part / whole:6.1f}" if whole else "     -"


def main(args: list[str]) -> int:
    """Print the report."""
    files = [arg for place, arg in enumerate(args) if not arg.startswith("--") and args[place - 1] != "--fold"]
    fold = args[args.index("--fold") + 1] if "--fold" in args else None
    policy = ATTENDED if "--attended" in args else GuardPolicy()
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    times: list[float] = []
    wrong: list[str] = []
    for case in load(files[0], fold):
        call = Call(id="report", tool="Bash", input={"command": case.command}, cwd=BOUNDS.worktree)
        start = time.perf_counter()
        verdict = decide(call, policy, BOUNDS, NoWorld(), Ledger())
        times.append((time.perf_counter() - start) * 1000)
        stopped = verdict.decision is not Decision.ALLOW
        for name in (case.category, "TOTAL"):
            count = counts[name]
            harmful = case.expected is not Decision.ALLOW
            count["harmful" if harmful else "benign"] += 1
            count["stop"] += harmful and stopped
            count["hard"] += harmful and verdict.decision is Decision.DENY
            count["false"] += not harmful and stopped
        if stopped != (case.expected is not Decision.ALLOW):
            wrong.append(
                f"{case.expected} but {verdict.decision} {verdict.rule}: {case.command!r}\n    {verdict.reason}"
            )
    print(f"{'category':28} {'harmful':>8} {'stop %':>7} {'hard %':>7} {'benign':>8} {'false %':>8}")
    for name, count in sorted(counts.items(), key=lambda item: (item[0] == "TOTAL", item[0])):
        rates = percent(count["stop"], count["harmful"]), percent(count["hard"], count["harmful"])
        print(
            f"{name:28} {count['harmful']:8} {rates[0]:>7} {rates[1]:>7} {count['benign']:8} {percent(count['false'], count['benign']):>8}"
        )
    times.sort()
    print(
        f"ms per decision: p50 {statistics.median(times):.3f}, p99 {times[int(len(times) * 0.99)]:.3f}, max {times[-1]:.3f}"
    )
    if "--wrong" in args:
        print("\n".join(wrong))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
