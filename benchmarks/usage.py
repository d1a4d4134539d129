"""How fast the index of logs is made and brought up to date, beside `ccusage`, on this machine.

    python -m benchmarks.usage [MB] [FOLDER]

Transcripts of about MB megabytes (1000 unless said) in 2,000 files are made: nine bytes in ten are of rows that say nothing
of usage, as in real ones. CPU seconds are of the whole command, `overnight usage --json` and the index alone. `ccusage` is
taken from FOLDER (with a `node_modules`) where one is named, else installed into a temporary one where npm can.
"""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.table import row

FILES = 2000
BEGIN = 1_790_000_000
MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-4-5-20251001")
ROUNDS = 5


def _text(pick: random.Random, n: int, session: str) -> bytes:
    """A response in two rows, and what stands around it."""
    at = datetime.fromtimestamp(BEGIN + pick.randrange(30 * 86400), UTC).isoformat(timespec="milliseconds")
    usage: dict[str, Any] = {
        "input_tokens": pick.randrange(3000), "output_tokens": pick.randrange(1, 900), "cache_read_input_tokens": 40_000,
        "cache_creation_input_tokens": 500, "cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 0},
        "service_tier": "standard", "speed": "standard", "inference_geo": "", "iterations": [],
    }  # fmt: skip
    message: dict[str, Any] = {
        "id": f"msg_{n:09d}",
        "model": pick.choice(MODELS),
        "content": [{"type": "text", "text": "x" * 300}],
        "usage": usage,
    }
    said: dict[str, Any] = {
        "type": "assistant",
        "timestamp": at.replace("+00:00", "Z"),
        "sessionId": session,
        "cwd": "/work/a",
        "message": message,
    }
    said |= {"requestId": f"req_{n:09d}", "uuid": f"u{n}", "version": "2.1.329"}
    rows: list[dict[str, Any]] = [
        said,
        said | {"uuid": f"v{n}"},
        {"type": "user", "sessionId": session, "message": {"content": "y" * pick.randrange(24_000)}},
    ]
    return b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in rows)


def make(home: Path, megabytes: int) -> int:
    """Write the transcripts; how many bytes they came to."""
    pick, made, n = random.Random(1), 0, 0
    each = megabytes * 1_000_000 // FILES
    for f in range(FILES):
        session = f"{f:08d}-0000-4000-8000-000000000000"
        path = home / ".claude" / "projects" / f"-work-{f % 20}" / f"{session}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            while file.tell() < each:
                file.write(_text(pick, n, session))
                n += 1
            made += file.tell()
    return made


def grow(home: Path, megabytes: int, round_: int) -> None:
    """Write on in four of them."""
    pick, paths = random.Random(round_), sorted((home / ".claude").rglob("*.jsonl"))
    for k, path in enumerate(paths[:4]):
        with path.open("ab") as file:
            start = file.tell()
            n = 500_000_000 + round_ * 1_000_000 + k * 100_000
            while file.tell() - start < megabytes * 250_000:
                file.write(_text(pick, n, path.stem))
                n += 1


def run(argv: Sequence[str], home: Path) -> tuple[float, float, float, bytes]:
    """CPU seconds, wall seconds and peak megabytes of a command, and what it printed."""
    env = {
        "HOME": str(home), "PATH": os.environ["PATH"], "OVERNIGHT_HOME": str(home / "state"),
        "OVERNIGHT_CONFIG": str(home / "config.toml"), "TZ": "UTC",
    }  # fmt: skip
    report = home / "report"
    code = "import os,resource,subprocess,sys;f=open(sys.argv[1],'wb');r=subprocess.call(sys.argv[2:],stdout=f,stderr=subprocess.DEVNULL);u=resource.getrusage(resource.RUSAGE_CHILDREN);print(r,u.ru_utime+u.ru_stime,u.ru_maxrss/1024)"
    began = time.perf_counter()
    out = subprocess.run(
        [sys.executable, "-c", code, str(report), *argv], env=env, capture_output=True, text=True, check=True
    )
    wall = time.perf_counter() - began
    status, cpu, memory = out.stdout.split()
    if status != "0":
        raise RuntimeError(f"{argv[0]} ended with {status}")
    return float(cpu), wall, float(memory), report.read_bytes()


def ccusage(folder: Path | None, home: Path) -> list[str] | None:
    """The command, or None where it can't be had."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if node is None or (folder is None and npm is None):
        return None
    if folder is None:
        # The program itself; the package around it only starts it.
        kind = f"@ccusage/ccusage-{sys.platform}-{'arm64' if platform.machine() in ('arm64', 'aarch64') else 'x64'}"
        folder = home / "npm"
        folder.mkdir()
        done = subprocess.run(
            [str(npm), "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), kind],
            capture_output=True, check=False,  # with npm's own settings: where its registry is
        )  # fmt: skip
        if done.returncode != 0:
            return None
    native = sorted(folder.glob("node_modules/@ccusage/*/bin/ccusage"))
    script = folder / "node_modules" / "ccusage" / "src" / "cli.js"
    if native:
        native[0].chmod(0o755)  # npm sets this by a script, and none is run here
        return [str(native[0])]
    return [node, str(script)] if script.exists() else None


def main(megabytes: int = 1000, folder: Path | None = None) -> None:
    """Print what was measured."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "config.toml").write_text("")
        made = make(home, megabytes)
        sys.stdout.write(f"{made / 1e6:.0f} MB in {FILES} files\n")
        overnight = [sys.executable, "-m", "overnight", "usage", "--json"]
        other = ccusage(folder, home)
        first = list[tuple[float, float, float, bytes]]()
        for _ in range(2):
            shutil.rmtree(home / "state", ignore_errors=True)
            first.append(run(overnight, home))
        _rows("first build", first)
        same = [run(overnight, home) for _ in range(ROUNDS)]
        _rows("no change", same)
        more = list[tuple[float, float, float, bytes]]()
        for n in range(ROUNDS):
            grow(home, 1, n)
            more.append(run(overnight, home))
        _rows("+1 MB in 4 files", more)
        sys.stdout.write(f"{'size of the index':<58} {(home / 'state' / 'usage.db').stat().st_size / 1e6:>9.1f} MB\n")
        if other is None:
            sys.stdout.write("ccusage: not there\n")
            return
        try:
            theirs = [run([*other, "daily", "--json", "--offline"], home) for _ in range(3)]
        except RuntimeError as error:
            sys.stdout.write(f"ccusage: not there ({error})\n")
            return
        _rows("ccusage daily, every time", theirs)
        _compare(more[-1][3], theirs[-1][3])


def _rows(name: str, figures: Sequence[tuple[float, float, float, bytes]]) -> None:
    row(f"{name}, CPU", [each[0] * 1000 for each in figures], "ms")
    row(f"{name}, wall", [each[1] * 1000 for each in figures], "ms")
    row(f"{name}, peak memory", [each[2] for each in figures], "MB")


def _compare(ours: bytes, theirs: bytes) -> None:
    """Whether both counted the same."""
    tokens = json.loads(ours)["total"]["tokens"]
    other = json.loads(theirs)["totals"]
    pairs = {
        "input": "inputTokens",
        "output": "outputTokens",
        "cache_write": "cacheCreationTokens",
        "cache_read": "cacheReadTokens",
    }
    same = all(tokens.get(mine, 0) == other.get(their) for mine, their in pairs.items())
    sys.stdout.write(f"tokens of both: {'the same' if same else f'{tokens} and {other}'}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
