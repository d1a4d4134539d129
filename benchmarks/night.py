"""A task's way through a real daemon: how much of it is ours. `python -m benchmarks.night`"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import psutil

from benchmarks.table import head, row
from overnight.agents.scripted import Say, Use, dump, play
from overnight.durable.client import Client
from overnight.durable.journal import connect
from overnight.fleet.local import read_identity
from overnight.missions.codec import builtins
from overnight.missions.task import Phase, Repo, Task

WORK = 'echo "$OVERNIGHT_TASK" > "$OVERNIGHT_TASK.txt" && git add -A && git commit -q -m Work && echo done'
CLI_WORK = "date +%s%N > $(date +%s%N).txt && git add -A && git commit -q -m Work"
GIT = ["git", "-c", "user.name=b", "-c", "user.email=b@localhost"]
TASKS = 10


class Bench:
    """A state folder, a repository, and a daemon that can be killed."""

    def __init__(self, folder: Path, agent: str, argv: str, upstream: str = "") -> None:
        self.folder, self.home, self.repo, self.agent = folder, folder / "state", folder / "repo", agent
        self.daemon: subprocess.Popen[bytes] | None = None
        self.repo.mkdir(parents=True)
        (folder / "home").mkdir()
        claude = f'[agents.claude]\nroute = "gateway"\nupstream = "{upstream}"\n' if upstream else ""
        command = f'[agents.command]\nargv = ["sh", "-c", {json.dumps(argv)}]\n'
        (folder / "config.toml").write_text(f"[work]\ntotal = 4\nper_repo = 4\n{command}{claude}")
        bare = "[judges]\nfamilies = 0\n[clarify]\nthreshold = 101\n"
        policy = f'target = "main"\nlanding = "merge"\nagent = "{agent}"\n[checks]\ntest = "true"\n{bare}'
        (self.repo / "overnight.toml").write_text(policy)
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Seed"]):
            subprocess.run([*GIT, *words], cwd=self.repo, check=True)

    def environ(self) -> dict[str, str]:
        """Of its own: nothing of the person's agents."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), "ANTHROPIC_API_KEY": "bench"}
        return env | {
            "OVERNIGHT_WEB": "off",
            "OVERNIGHT_HOME": str(self.home),
            "OVERNIGHT_CONFIG": str(self.folder / "config.toml"),
        }

    def start(self) -> float:
        """Seconds until the daemon answers."""
        began = time.perf_counter()
        self.daemon = subprocess.Popen(
            [sys.executable, "-m", "overnight", "up", "--plain"], env=self.environ(), stdout=subprocess.DEVNULL
        )
        while Client(self.home).running() is None:
            time.sleep(0.002)
        return time.perf_counter() - began

    def end(self) -> None:
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait()
        for warden in self.wardens():
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(warden).kill()

    def add(self, name: str) -> None:
        """Queue one task."""
        repo = Repo(name=self.repo.name, path=str(self.repo), target="main")
        task = Task(id=name, repo=repo, title=name, text="Do it.")
        Client(self.home).call(
            "submit", id=name, flow="task", lane=repo.name, input=builtins(task), phase=Phase.QUEUED, pool="work"
        )

    def happened(self, task: str, what: str) -> float | None:
        """When an event of a task was recorded."""
        with contextlib.closing(connect(self.home / "journal.db", read_only=True)) as db:
            sql = "SELECT min(at) AS at FROM event WHERE task = ? AND what = ?"
            return db.execute(sql, (task, what)).fetchone()["at"]

    def until(self, look: Callable[[], object]) -> None:
        """Wait for something to be so."""
        until = time.monotonic() + 60
        while not look():
            if time.monotonic() > until:
                raise TimeoutError
            time.sleep(0.002)

    def wardens(self) -> list[int]:
        """Living wardens."""
        found = [read_identity(folder) for folder in self.home.glob("runs/*/*/*")]
        return [who.pid for who in found if who is not None and psutil.pid_exists(who.pid)]

    def one(self, name: str) -> tuple[float, float]:
        """Milliseconds from queued to warden, and to landed."""
        self.add(name)
        self.until(lambda: self.happened(name, "task.ended"))
        queued, ended = self.happened(name, "task.submitted"), self.happened(name, "task.ended")
        (started,) = (p.stat().st_mtime for p in self.home.glob(f"runs/{name}/1/1/warden.json"))
        assert queued is not None
        assert ended is not None
        return (started - queued) * 1000, (ended - queued) * 1000


def lives(pid: int) -> bool:
    """A process that is dead and not yet reaped does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@contextlib.contextmanager
def bench(agent: str, argv: str = WORK, upstream: str = "") -> Generator[Bench]:
    """A bench in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="overnight-bench-", ignore_cleanup_errors=True) as folder:
        made = Bench(Path(folder), agent, argv, upstream)
        try:
            yield made
        finally:
            made.end()


def tasks() -> None:
    """Own overhead of a task, without and with the real CLI."""
    with bench("command") as night:
        night.start()
        times = [night.one(f"t{n}") for n in range(TASKS + 1)][1:]
        row("queued to warden started", [a for a, _ in times], "ms", "aim 50")
        row("queued to landed, an agent that answers at once", [b for _, b in times], "ms", "aim 1000")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "play.json"
        script.write_bytes(dump(play(Use("Bash", {"command": CLI_WORK, "description": "w"}), Say("done"))))
        command = [sys.executable, "-m", "overnight.agents.scripted", "--script", str(script)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as model:
            assert model.stdout is not None
            with bench("claude", upstream=model.stdout.readline().strip()) as night:
                night.start()
                times = [night.one(f"t{n}") for n in range(TASKS + 1)][1:]
                row("queued to landed, the real CLI and a scripted model", [b for _, b in times], "ms")
            model.terminate()


def large() -> None:
    """A task on a repository of 50,000 files."""
    with bench("command") as night:
        for n in range(50_000):
            path = night.repo / f"d{n // 500}" / f"f{n}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{n}\n")
        for words in (["add", "-A"], ["commit", "-q", "-m", "Many"]):
            subprocess.run([*GIT, *words], cwd=night.repo, check=True)
        night.start()
        times = [night.one(f"t{n}") for n in range(3)]
        row("queued to landed, 50,000 files", [b for _, b in times], "ms")


def restart_and_stop() -> None:
    """A killed daemon's successor, and a stop."""
    taken, dead, memory = list[float](), list[float](), list[float]()
    for n in range(5):
        with bench("command", "sleep 600") as night:
            night.start()
            for k in range(4):
                night.add(f"t{k}")
            night.until(lambda night=night: len(night.wardens()) == 4)
            assert night.daemon is not None
            night.daemon.kill()
            night.daemon.wait()
            memory += [psutil.Process(pid).memory_info().rss / 2**20 for pid in night.wardens()]
            taken.append(night.start() * 1000)
            wardens = night.wardens()
            began = time.perf_counter()
            for k in range(4):
                Client(night.home).call("want", task=f"t{k}", want="stop")
            night.until(lambda wardens=wardens: not any(lives(pid) for pid in wardens))
            dead.append((time.perf_counter() - began) * 1000)
            del n
    row("restart to the daemon answering, four runs under way", taken, "ms", "aim 1000")
    row("stop to the last process of four runs dead", dead, "ms", "aim 1000")
    row("a warden's memory", memory, "MiB")


def idle() -> None:
    """The daemon with tasks that wait."""
    for count in (0, 1000, 10_000):
        with bench("command") as night:
            Client(night.home).call("pause_all")
            fill(night, count)
            night.start()
            assert night.daemon is not None
            process = psutil.Process(night.daemon.pid)
            before = sum(process.cpu_times()[:2])
            time.sleep(3)
            used = (sum(process.cpu_times()[:2]) - before) / 3 * 100
            row(f"the daemon's memory, {count} tasks waiting", [process.memory_info().rss / 2**20], "MiB", "aim 60")
            row(f"the daemon's CPU, {count} tasks waiting", [used], "%", "aim 0")


def fill(night: Bench, count: int) -> None:
    """Tasks straight into the journal, as one client that holds the lock would put them."""
    from overnight.durable.desk import Desk
    from overnight.durable.journal import Journal

    journal = Journal(night.home)
    desk = Desk(journal)
    with journal.tx("fill"):
        for n in range(count):
            task = Task(id=f"w{n}", repo=Repo(name="repo", path=str(night.repo), target="main"), title="t", text="t")
            arguments = {"id": task.id, "flow": "task", "lane": "repo", "input": builtins(task), "phase": Phase.QUEUED}
            desk.call("submit", {**arguments, "pool": "work", "actor": "bench"})
    journal.close()


def commands() -> None:
    """What a person waits for."""
    with bench("command") as night:
        night.start()
        night.one("t")
        for words in (["--help"], ["status"]):
            times = list[float]()
            for _ in range(7):
                began = time.perf_counter()
                command = [sys.executable, "-m", "overnight", *words]
                subprocess.run(command, env=night.environ(), stdout=subprocess.DEVNULL, check=True)
                times.append((time.perf_counter() - began) * 1000)
            row(f"`overnight {' '.join(words)}`", times, "ms", "aim 150" if words == ["--help"] else "")


def main() -> None:
    """Everything."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    head("A task through a real daemon")
    tasks()
    large()
    restart_and_stop()
    idle()
    commands()


if __name__ == "__main__":
    main()
