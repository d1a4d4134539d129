"""A run in no box at all, that tries to decide about itself: real daemon, real warden, and an agent that is a script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from web_lab import Lab, wait

from overnight.durable.inside import run_above

#: Each try has its own line in a file outside of the worktree: what it said.
TRIES = """
import json, os, socket, subprocess, sys
home, out, python = {home!r}, {out!r}, {python!r}
env = {{**os.environ, "OVERNIGHT_HOME": home, "OVERNIGHT_CONFIG": {config!r}}}
def run(*words, **more):
    done = subprocess.run([python, "-P", "-m", "overnight", *words], env=env, capture_output=True, text=True, **more)
    return [done.returncode, done.stderr]
def ask():
    link = socket.socket(socket.AF_UNIX)
    link.connect(home + "/daemon.sock")
    link.sendall(json.dumps({{"verb": "want", "arguments": {{"actor": "cli", "task": "x", "want": "cancel"}}}}).encode() + b"\\n")
    return link.makefile().readline()
said = {{
    "approve": run("approve", "x"), "token": run("web", "token"), "pause": run("pause"), "limits": run("limits", "lift"),
    "look": run("status"), "bare": run("down", start_new_session=True), "socket": ask(),
}}
# One that has lost its parent and its session is still what it was.
done, told = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(told, json.dumps(run("approve", "x")).encode())
    os._exit(0)
os.wait()
said["orphan"] = json.loads(os.read(done, 65536))
with open(out + ".part", "w") as file:
    json.dump(said, file)
os.rename(out + ".part", out)
"""


def test_a_run_in_no_box_controls_nothing(tmp_path: Path) -> None:
    """By the command, with another session or without a parent, and by the socket itself: refused; looking works."""
    out, script = tmp_path / "out.json", tmp_path / "tries.py"
    lab = Lab(tmp_path / "lab", agent=f"{sys.executable} {script}; echo x > x.txt; echo done")
    script.write_text(
        TRIES.format(
            home=str(lab.home), out=str(out), python=sys.executable, config=str(tmp_path / "lab" / "config.toml")
        )
    )
    try:
        lab.up()
        lab.ok("add", "--repo", "shop", "Try it")
        wait(out.exists, lambda: (lab.folder / "log").read_text())
        said = json.loads(out.read_text())
    finally:
        lab.end()
    for name in ("approve", "token", "pause", "limits", "bare", "orphan"):
        code, words = said[name]
        assert (code, "terminal of your own" in words) == (3, True), (name, words)
    assert "InsideRun" in said["socket"]
    assert said["look"][0] == 0
    assert not (lab.home / "PAUSED").exists()


def test_who_is_in_no_run_is_told_so(tmp_path: Path) -> None:
    """This process, and one that has gone."""
    assert run_above(os.getpid(), tmp_path) is None
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert run_above(gone.pid, tmp_path) is None


def test_a_child_of_a_warden_is_in_its_run(tmp_path: Path) -> None:
    """Named by its folder; another state folder's run is none of ours."""
    look = (
        "import subprocess, sys; from pathlib import Path; "
        "print(subprocess.run([sys.executable, '-c', "
        "'import os, sys; from pathlib import Path; from overnight.durable.inside import run_above; "
        "print([run_above(os.getpid(), Path(p)) for p in sys.argv[1:]])', sys.argv[3], sys.argv[4]], "
        "capture_output=True, text=True).stdout)"
    )
    ours, other = tmp_path / "ours", tmp_path / "other"
    (ours / "runs").mkdir(parents=True)
    folder = str(ours / "runs" / "t1" / "1" / "1")
    done = subprocess.run(
        [sys.executable, "-c", look, "x", "y", str(ours), str(other), "overnight.warden_process", folder],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "['t1/1/1', None]"
