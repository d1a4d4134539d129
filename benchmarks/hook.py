"""What one call of `overnight guard hook` takes, as a whole process: without and with a policy of the machine and the repo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.table import row

RUNS = 30
POLICY = '[guard]\nuploads = "deny"\n'


def once(repo: Path, env: dict[str, str]) -> float:
    """Milliseconds from the start of the process to its end."""
    call = {"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {"command": "git status"}}
    body = json.dumps({**call, "cwd": str(repo), "tool_use_id": "t"}).encode()
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "overnight", "guard", "hook"], input=body, env=env, check=True, stdout=-3)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Print the figures."""
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
