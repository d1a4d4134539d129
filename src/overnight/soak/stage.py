"""The soak's own place: folder, disk, settings, repositories, and the program that is its agent."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from overnight.soak.clock import SoakClock
from overnight.soak.plan import REPOS

#: Whoever commits in the soak's repositories.
GIT = ("git", "-c", "user.name=Soak", "-c", "user.email=soak@localhost")
#: How large the soak's own disk is. It lies in memory; work starts as long as 1 GiB of it is free.
DISK = 3 << 30
_NEW_MOUNTS = 0x00020000  # CLONE_NEWNS
#: Files of the first commit.
CHECK = "! grep -rqs BROKEN work db shared.txt\n"
POLICY = """\
target = "main"
landing = "merge"
agent = "command"

[checks]
test = { run = "sh check.sh", limit = "2m" }

[judges]
families = 0

[clarify]
threshold = 101

[limits]
attempts = 4
wall = "5m"
silence = "2m"
"""
NO_BOX = '\n[box]\nminimum = "none"\n'
#: What the agent `command` does, by the line `soak: KIND TASK SECONDS` of its prompt. Whatever a run that was lost left
#: behind, it can be done again.
AGENT = r"""
set -u
set -- $(grep -m1 '^soak: ' "$OVERNIGHT_PROMPT")
kind=$2 task=$3 pause=$4
file=work/$task.txt
commit() {
    git add -A
    git diff --cached --quiet || git commit -q -m "$1"
    echo "COMMIT $(git rev-parse HEAD)"
}
mkdir -p work
echo "began $kind"
sleep "$pause"
case $kind in
    repair)
        if [ -e "$file" ]; then echo "$task" > "$file"; commit "Mend $task"
        else echo BROKEN > "$file"; commit "Begin $task"; fi ;;
    crash)
        if [ -e "$file" ]; then echo "$task" > "$file"; commit "End $task"
        else echo half > "$file"; commit "Begin $task"; echo "it fell over" >&2; exit 3; fi ;;
    nothing) ;;
    ask) mkdir -p db/migrations; echo "-- $task" > "db/migrations/$task.sql"; commit "Migrate $task" ;;
    clash)
        grep -qx "$task" shared.txt || echo "$task" >> shared.txt
        commit "Add $task"
        if git rev-parse -q --verify target > /dev/null && ! git merge-base --is-ancestor target HEAD; then
            git merge -q --no-edit target || {
                sed -i -e '/^<<<<<<< /d' -e '/^=======$/d' -e '/^>>>>>>> /d' shared.txt
                commit "Merge $task"
            }
            echo "COMMIT $(git rev-parse HEAD)"
        fi ;;
    loud) head -c 4000000 /dev/zero | tr '\0' x | fold -w 199; echo; echo "$task" > "$file"; commit "Work of $task" ;;
    *) echo "$task" > "$file"; commit "Work of $task" ;;
esac
echo "done"
"""


class Stage(Struct, frozen=True):
    """Where things are."""

    folder: Path
    #: Why the disk can't be filled here; empty when it is the soak's own.
    shared_disk: str
    #: The box; empty where the machine has none.
    box: str
    #: The clock of daemon, wardens and watchdog.
    clock: SoakClock

    @property
    def disk(self) -> Path:
        """What lies on the disk that is filled."""
        return self.folder / "disk"

    @property
    def home(self) -> Path:
        """The state folder."""
        return self.disk / "state"

    @property
    def tmp(self) -> Path:
        """Everybody's folder for temporary files."""
        return self.folder / "tmp"

    def repo(self, name: str) -> Path:
        """A repository."""
        return self.disk / "repos" / name

    def environ(self) -> Mapping[str, str]:
        """An environment of its own: nothing of the person's agents gets in."""
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8", "HOME": str(self.folder / "person"),
            "TMPDIR": str(self.tmp), "OVERNIGHT_HOME": str(self.home),
            "OVERNIGHT_CONFIG": str(self.folder / "config.toml"), "ANTHROPIC_API_KEY": "soak-key-that-stays-outside",
        }  # fmt: skip


def own_disk(folder: Path) -> str:
    """Give a folder a file system of its own, seen by this process and its children only; why not, or nothing."""
    if not sys.platform.startswith("linux"):
        return "a file system of its own needs Linux"
    if os.geteuid() != 0:
        return "a file system of its own needs root"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS) != 0:
        return f"no mount namespace can be made: {os.strerror(ctypes.get_errno())}"
    for words in (["--make-rprivate", "/"], ["-t", "tmpfs", "-o", f"size={DISK},mode=0755", "soak", str(folder)]):
        done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            return f"no file system can be mounted: {done.stderr.strip()}"
    return ""


def make(folder: Path, url: str, box: str, *, fills: bool, jumps: bool) -> Stage:
    """Everything that the daemon needs to start. fills: the disk is to be filled. jumps: the clock is to be set."""
    disk = folder / "disk"
    disk.mkdir(parents=True)
    shared = own_disk(disk) if fills else "it was not asked for"
    stage = Stage(folder, shared, box, SoakClock(folder) if jumps else SoakClock(folder, ()))
    for place in (stage.tmp, folder / "person"):
        place.mkdir()
    stage.home.mkdir(mode=0o700)
    (folder / "config.toml").write_text(_config(url, box))
    for name in REPOS:
        _repository(stage.repo(name), box)
    return stage


def _config(url: str, box: str) -> str:
    tools = "" if sys.base_prefix.startswith("/usr") else json.dumps(sys.base_prefix)
    named = f'name = "{box}"' if box else 'name = "none"\ni_know = true'
    return f"""\
# config.toml
[work]
total = 4
per_repo = 3

[box]
{named}
tools = [{tools}]
reserve = "8MiB"

[agents.command]
argv = ["sh", "-c", {json.dumps(AGENT)}]

[agents.claude]
route = "gateway"
upstream = "{url}"
retries = 2

[web]
port = 0

[watchdog]
look = "1s"
stale = "10s"
warden_stale = "60s"
disk = "4MiB"
memory = "16MiB"
restarts = 100
"""


def _repository(path: Path, box: str) -> None:
    path.mkdir(parents=True)
    for name, text in {
        "check.sh": CHECK,
        "overnight.toml": POLICY if box else POLICY + NO_BOX,
        "shared.txt": "A list.\n",
    }.items():
        (path / name).write_text(text)
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", "A beginning")):
        subprocess.run([*GIT, *words], cwd=path, check=True)


def keep(stage: Stage) -> Path:
    """The folder that is left for a look. What is on a disk of the soak's own goes with the soak's process: it is
    copied beside."""
    if stage.shared_disk:
        return stage.disk
    kept = stage.folder / "kept"
    shutil.copytree(stage.disk, kept, symlinks=True, ignore=shutil.ignore_patterns("*.sock", "*.pipe"))
    return kept


def discard(stage: Stage) -> None:
    """Leave nothing."""
    if not stage.shared_disk:
        subprocess.run(["umount", "--lazy", str(stage.disk)], capture_output=True, check=False)
    shutil.rmtree(stage.folder, ignore_errors=True)
