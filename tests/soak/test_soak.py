"""A short soak, and looks at worlds that are broken for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from overnight.report.soaked import last_soak
from overnight.soak.clock import NAME, PLACES, SoakClock
from overnight.soak.gather import leftovers, read_target
from overnight.soak.processes import belonging
from overnight.soak.stage import GIT, Stage


def state(tmp_path: Path) -> Path:
    """The person's own state folder."""
    return tmp_path / "home" / ".local" / "state" / "overnight"


def soak(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`overnight soak`, with the person's home and temporary files in a folder."""
    state(tmp_path).mkdir(parents=True)
    return subprocess.run(
        [sys.executable, "-P", "-m", "overnight", "soak", *words],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_short_soak_keeps_every_promise(tmp_path: Path) -> None:
    """Tasks and faults for a while: nothing lost, nothing twice, nothing left; the report says so, as do its figures."""
    faults = "kill-daemon,stop-daemon,kill-warden,kill-agent,power-cut,kill-watchdog,disk-full,clock-jump"
    words = ("--for", "15s", "--seed", "5", "--tasks-per-minute", "40", "--no-cli", "--faults", faults)
    done = soak(tmp_path, *words, "--report", "soak.md")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "soak.json").read_text())
    verdicts = {each["key"]: each["kept"] for each in told["result"]["verdicts"]}
    assert False not in verdicts.values()
    assert all(verdicts[key] for key in ("landed-once", "one-end", "as-meant", "commits", "records", "nothing-left"))
    facts = told["result"]["facts"]
    assert all(task["phase"] == task["wanted"] for task in facts["tasks"])
    assert sum(task["landings"] for task in facts["tasks"]) >= 4
    assert [hit for hit in facts["hits"] if not hit["impossible"]]
    kept = last_soak(state(tmp_path))
    assert kept is not None
    assert (kept.tasks, kept.broken, kept.seed) == (len(facts["tasks"]), (), 5)
    assert [path.name for path in state(tmp_path).iterdir()] == ["soak.json"]
    page = (tmp_path / "soak.md").read_text()
    assert "**Everything was kept.**" in page
    assert "overnight soak --for 15s --tasks-per-minute 40 --seed 5" in page
    assert not list(tmp_path.glob("overnight-soak-*"))


NO_LIBRARY = not any((place / NAME).is_file() for place in PLACES)
_TELL = "import time; print(time.time(), time.monotonic()); time.sleep(0.01)"


def _told(clock: SoakClock) -> tuple[float, float]:
    """Time of day and monotonic time of a process that follows the clock."""
    done = subprocess.run(
        [sys.executable, "-c", _TELL], env=clock.environ(), capture_output=True, text=True, check=True
    )  # fmt: skip
    wall, steady = done.stdout.split()
    return float(wall), float(steady)


@pytest.mark.skipif(NO_LIBRARY, reason="libfaketime is not installed")
@pytest.mark.parametrize("offset", [0, 86400, -86400])
def test_the_clock_of_a_process_is_set_and_nothing_else(tmp_path: Path, offset: int) -> None:
    """The time of day steps either way; the monotonic clock stays, and sleeping goes on."""
    clock = SoakClock(tmp_path)
    assert clock.fixed == ""
    clock.set(offset)
    before, told, after = time.time(), _told(clock), time.time()
    assert before + offset - 1 <= told[0] <= after + offset + 1
    assert told[1] <= time.monotonic()


@pytest.mark.parametrize("content", [None, b"no library", b"\x7fELF\x02\x01" + b"\0" * 90])
def test_a_clock_that_cannot_be_set_says_why(tmp_path: Path, content: bytes | None) -> None:
    """Without the library, or with something else in its place: what to do or what is wrong, and nothing is loaded."""
    place = tmp_path / "place"
    place.mkdir()
    if content is not None:
        (place / NAME).write_bytes(content)
    clock = SoakClock(tmp_path, [place])
    assert ("apt-get install libfaketime" if content is None else str(place / NAME)) in clock.fixed
    assert clock.environ() == {}


@pytest.mark.slow
@pytest.mark.skipif(NO_LIBRARY, reason="libfaketime is not installed")
def test_a_short_soak_with_a_clock_that_jumps(tmp_path: Path) -> None:
    """The clock of all processes goes ahead and back while they work: done for real, everything kept and back."""
    words = ("--for", "15s", "--seed", "5", "--tasks-per-minute", "40", "--no-cli", "--faults", "clock-jump")
    done = soak(tmp_path, *words, "--report", "soak.md", "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "soak.json").read_text())
    outcomes = [json.loads(each.read_text()) for each in tmp_path.glob("*/disk/state/runs/*/*/*/outcome.json")]
    assert outcomes
    assert all(0 <= each["ended"] - each["started"] < 120 for each in outcomes)
    assert False not in {each["kept"] for each in told["result"]["verdicts"]}
    hits = told["result"]["facts"]["hits"]
    assert hits
    assert all(not hit["impossible"] and hit["recovered"] is not None for hit in hits)


@pytest.mark.slow
def test_a_soak_that_is_interrupted_reports_what_was_so_far(tmp_path: Path) -> None:
    """Ctrl-C in the middle of work: everything is ended and gone, and the report says that it was cut short."""
    (tmp_path / "home").mkdir()
    words = ("--for", "30m", "--seed", "6", "--tasks-per-minute", "30", "--no-cli", "--faults", "none")
    with subprocess.Popen(
        [sys.executable, "-u", "-P", "-m", "overnight", "soak", *words, "--report", "soak.md"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)},
        cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    ) as soaking:  # fmt: skip
        assert soaking.stdout is not None
        for line in soaking.stdout:
            if "at work" in line:
                soaking.send_signal(signal.SIGINT)
                break
        rest = soaking.stdout.read()
    assert soaking.returncode == 130, rest
    told = json.loads((tmp_path / "soak.json").read_text())
    assert told["result"]["interrupted"]
    assert {each["key"] for each in told["result"]["verdicts"]} == {
        "landed-once", "nothing-else", "green", "approved", "commits", "records", "throughout"
    }  # fmt: skip
    assert told["result"]["facts"]["processes"] == []
    assert "It was interrupted" in (tmp_path / "soak.md").read_text()
    assert not state(tmp_path).exists()
    assert not list(tmp_path.glob("overnight-soak-*"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--for", "soon"), "--for"),
        (("--for", "1s"), "at least 10s"),
        (("--faults", "earthquake"), "Known: kill-daemon"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    """Bad words start nothing and say what would be right."""
    done = soak(tmp_path, *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert not list(tmp_path.glob("overnight-soak-*"))


class Repository:
    """A target with a history of the soak's kind, made by hand."""

    def __init__(self, folder: Path) -> None:
        self.stage = Stage(folder, "not its own", "", SoakClock(folder, ()))
        self.path = self.stage.repo("alpha")
        self.path.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.commit("A beginning", {"shared.txt": "A list.\n"})

    def git(self, *words: str) -> str:
        """One git command; its output."""
        done = subprocess.run([*GIT, *words], cwd=self.path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, message: str, files: dict[str, str]) -> str:
        """One more commit."""
        for name, text in files.items():
            (self.path / name).parent.mkdir(exist_ok=True)
            (self.path / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")


def test_a_change_that_landed_twice_is_counted_twice(tmp_path: Path) -> None:
    """Its word in two files, and its name in two commits of the target's own line; others once."""
    repo = Repository(tmp_path)
    repo.commit("One\n\nOvernight-Task: s1-0001-land", {"work/s1-0001-land.txt": "s1-0001-land\n"})
    repo.commit("One\n\nOvernight-Task: s1-0001-land", {"work/again.txt": "s1-0001-land\n"})
    repo.commit("Two\n\nOvernight-Task: s1-0002-ask", {"db/two.sql": "-- s1-0002-ask\n"})
    target = read_target(repo.stage, "alpha", [], deep=True)
    assert (target.marks["s1-0001-land"], target.landings["s1-0001-land"]) == (2, 2)
    assert (target.marks["s1-0002-ask"], target.landings["s1-0002-ask"]) == (1, 1)
    assert (target.fact.strangers, target.fact.red, target.fact.broken, target.fact.dirty) == ((), (), (), ())


def test_strangers_and_red_commits_are_seen(tmp_path: Path) -> None:
    """A commit of no task, and one whose files fail the check, are named even when a later one mends it."""
    repo = Repository(tmp_path)
    stranger = repo.commit("Somebody's", {"x": "x\n"})
    red = repo.commit("Three\n\nOvernight-Task: s1-0003-repair", {"work/three.txt": "BROKEN\n"})
    repo.commit("Four\n\nOvernight-Task: s1-0004-repair", {"work/three.txt": "s1-0003-repair\n"})
    fact = read_target(repo.stage, "alpha", [], deep=True).fact
    assert fact.strangers == (stranger,)
    assert fact.red == (red,)


def test_a_commit_on_no_ref_is_lost(tmp_path: Path) -> None:
    """What an agent made counts as kept while a ref of any kind reaches it, and as lost after that."""
    repo = Repository(tmp_path)
    made = repo.commit("Work", {"work/five.txt": "s1-0005-land\n"})
    repo.git("update-ref", "refs/overnight/s1-0005-land/1", made)
    repo.git("reset", "-q", "--hard", "HEAD~1")
    assert read_target(repo.stage, "alpha", [made], deep=True).fact.lost == ()
    repo.git("update-ref", "-d", "refs/overnight/s1-0005-land/1")
    fact = read_target(repo.stage, "alpha", [made], deep=True).fact
    assert (fact.lost, fact.commits) == ((made,), 1)


def test_what_is_left_is_found(tmp_path: Path) -> None:
    """A process with the folder in its environment, a work tree, a file in the temporary folder, a dirty folder."""
    repo = Repository(tmp_path)
    repo.git("worktree", "add", "-q", str(tmp_path / "tree"))
    (repo.path / "shared.txt").write_text("somebody was here\n")
    for place in (repo.stage.tmp, repo.stage.home / "worktrees" / "s1", repo.stage.home / "runs" / "nobody"):
        place.mkdir(parents=True)
    (repo.stage.tmp / "rest").write_text("")
    fact = read_target(repo.stage, "alpha", [], deep=True).fact
    assert fact.worktrees == (str(tmp_path / "tree"),)
    assert fact.dirty == (" M shared.txt",)
    assert leftovers(repo.stage, ["s1-0001-land"]) == (
        "temporary: rest", "work tree: worktrees/s1", "run of no task: nobody"
    )  # fmt: skip
    with subprocess.Popen(["sleep", "600"], env={**os.environ, "OVERNIGHT_HOME": str(tmp_path)}) as left:
        try:
            assert left.pid in dict(belonging(tmp_path, repo.stage.disk))
        finally:
            left.kill()
    assert left.pid not in dict(belonging(tmp_path, repo.stage.disk))
