"""What the audit adds to each tool call: one line made, chained, cleaned and on disk.

    python -m benchmarks.audit [CALLS] [FOLDER]

FOLDER: where the state folder would be; by default a temporary one. The disk decides most of it, so a line of the same
length is synced to the same disk without any of the rest, in turns.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from overnight.audit.record import RunAudit
from overnight.audit.verify import verify
from overnight.guard.redact import Redactor
from overnight.guard.verdict import Call, Decision, Weighed
from overnight.missions.policy import BoxPolicy, Limits
from overnight.missions.run import RunSpec

COMMAND = "cd /work/project && python -m pytest -q tests/unit -k 'parser or scanner' 2>&1 | tail -n 40"
SPEC = RunSpec(
    id="bench.1.1", task="bench", worktree="/w", git_dir="/g", objects="/o", start="0" * 40, agent="claude",
    prompt="", limits=Limits(), box=BoxPolicy(),
)  # fmt: skip
VERDICT = Weighed(
    decision=Decision.ALLOW, rule="permitted", reason="every effect is known and permitted: exec, read",
    effects=("exec program='python'", "read path='/work/project/tests/unit'"),
)  # fmt: skip


def measure(count: int, folder: Path) -> tuple[list[float], list[float]]:
    """Milliseconds for each line of the audit, and for a bare line of the same length."""
    audit = RunAudit(folder, SPEC, Redactor(("a-key-of-somebody-0123456789",)))
    lines, bare = list[float](), list[float]()
    fd = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for n in range(count):
            call = Call(id=f"toolu_{n:08}", tool="Bash", input={"command": COMMAND, "description": "test"}, cwd="/w")
            began = time.perf_counter()
            audit.called(call, COMMAND, VERDICT)
            lines.append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            os.write(fd, b"x" * 700 + b"\n")
            os.fdatasync(fd)
            bare.append((time.perf_counter() - began) * 1000)
    finally:
        audit.close()
        os.close(fd)
    return lines, bare


def _row(name: str, values: list[float]) -> None:
    low, middle, high = statistics.quantiles(values, n=4)
    last = statistics.quantiles(values, n=100)[98]
    print(f"{name:32} {middle:9.3f} ms (quartiles {low:.3f} to {high:.3f}, p99 {last:.3f}, n={len(values)})")


def main() -> None:
    """Print what was measured."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        lines, bare = measure(count, Path(folder))
        began = time.perf_counter()
        found = verify(Path(folder))
        took = time.perf_counter() - began
    _row("audit line, synced", lines)
    _row("bare line, synced", bare)
    print(f"{'verify':32} {found.lines / took:9.0f} lines/s")


if __name__ == "__main__":
    main()
