"""What a hook call takes: in a run, over HTTP to a warden's process with guard, record and audit, all of it synced to disk;
and in a session of one's own, `overnight guard hook` as a whole process, without and with policies of machine and repo."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.table import row
from overnight.agents.claude import ClaudeAgent
from overnight.agents.claude_settings import ClaudeSettings
from overnight.audit.record import RunAudit
from overnight.config import Settings
from overnight.missions.policy import BoxPolicy, Limits
from overnight.missions.run import RunSpec
from overnight.warden.events import EventLog
from overnight.warden.hooks import HOOK_LIMITS, Hooks
from overnight.warden.http import serve
from overnight.warden.witness import Witness
from overnight.wiring import guard_of

RUNS = 30
#: Labelled commands, harmful and harmless, as they come.
CASES = Path(__file__).parents[1] / "tests" / "guard" / "cases.jsonl"
MOST_CASES = 1000
HOSTILE = {
    "1 MB of padding": "echo " + "a" * 1_000_000,
    "3,000 nested parentheses": "(" * 3000 + "ls" + ")" * 3000,
    "20,000 segments": ";".join(["ls"] * 20_000),
}
POLICY = '[guard]\nuploads = "deny"\n'


def once(repo: Path, env: dict[str, str]) -> float:
    """Milliseconds from the start of the process to its end."""
    call = {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": "git status"}}
    body = json.dumps({**call, "cwd": str(repo), "tool_use_id": "t"}).encode()
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "overnight", "guard", "hook"], input=body, env=env, check=True, stdout=-3)
    return (time.perf_counter() - began) * 1000


async def warden(folder: Path, listener: socket.socket) -> None:
    """A run's hooks as a warden serves them, until killed."""
    (folder / "home").mkdir()
    spec = RunSpec(
        id="bench.1.1", task="bench", worktree=str(folder), git_dir="/g", objects="/o", start="0" * 40, agent="claude",
        prompt="", limits=Limits(), box=BoxPolicy(),
    )  # fmt: skip
    log, audit = EventLog(folder / "events.ndjson"), RunAudit(folder, spec, str)
    guard = guard_of(spec, folder, Settings())
    hooks = Hooks(ClaudeAgent(ClaudeSettings(), {}), guard, log.write, Witness(audit))
    await serve(listener, hooks.handle, HOOK_LIMITS)
    await asyncio.Event().wait()


def over_http(folder: Path, commands: list[str]) -> list[float]:
    """Milliseconds of each call, over one connection that is kept, as the CLI has it."""
    listener = socket.create_server(("127.0.0.1", 0))
    code = "import asyncio, pathlib, socket, sys; from benchmarks.hook import warden; listener = socket.socket(fileno=int(sys.argv[2])); listener.setblocking(False); asyncio.run(warden(pathlib.Path(sys.argv[1]), listener))"
    argv = (sys.executable, "-c", code, str(folder), str(listener.fileno()))
    took = list[float]()
    with subprocess.Popen(argv, pass_fds=(listener.fileno(),), cwd=Path(__file__).parents[1]) as server:
        client = http.client.HTTPConnection(*listener.getsockname())
        for n, command in enumerate(commands):
            call = {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": command}}
            body = json.dumps({**call, "cwd": str(folder), "tool_use_id": f"toolu_{n}"})
            began = time.perf_counter()
            client.request("POST", "/hook", body, {"Content-Type": "application/json"})
            client.getresponse().read()
            took.append((time.perf_counter() - began) * 1000)
        client.close()
        server.kill()
    listener.close()
    return took


def in_a_run() -> None:
    """The warden's endpoint: everyday calls, then what is made to hurt."""
    cases = [json.loads(line)["command"] for line in CASES.read_text().splitlines()][:MOST_CASES]
    with tempfile.TemporaryDirectory() as folder:
        values = over_http(Path(folder), [*cases[:50], *cases])[50:]  # the first ones load the guard
    row("hook over HTTP", values, "ms", "aim <= 1.5")
    print(f"{'  of these the slowest in a hundred':44} {statistics.quantiles(values, n=100)[98]:9.2f} ms  (aim <= 5)")
    for name, command in HOSTILE.items():
        with tempfile.TemporaryDirectory() as folder:
            row(f"denial of {name}", over_http(Path(folder), ["ls", *[command] * 20])[1:], "ms", "aim <= 50")


def main() -> None:
    """Print the figures."""
    in_a_run()
    with tempfile.TemporaryDirectory() as folder:
        repo, home = Path(folder, "repo"), Path(folder, "home")
        env = {"PATH": os.environ["PATH"], "HOME": str(home)}
        git = ("git", "-C", str(repo), "-c", "user.name=b", "-c", "user.email=b@example.org")
        home.mkdir()
        subprocess.run(["git", "init", "-q", "-b", "main", str(repo)], check=True)
        row("guard hook, no policy", [once(repo, env) for _ in range(RUNS)], "ms", "aim <= 100")
        (repo / "overnight.toml").write_text(POLICY)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "policy"], check=True)
        settings = home / ".config" / "overnight" / "config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(POLICY)
        row("guard hook, policies of machine and repo", [once(repo, env) for _ in range(RUNS)], "ms", "aim <= 100")


if __name__ == "__main__":
    main()
