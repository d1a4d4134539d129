"""`overnight demo`: a night in a minute. Only the model's answers are scripted; git, box, CLI and kill -9 are real."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

import click

from overnight.cli.demo_stage import ANSWERS, HOLD, REPO, TASKS, make_repository, the_play
from overnight.cli.paper import Paper, say
from overnight.errors import OvernightError

if TYPE_CHECKING:
    from overnight.report.views import TaskRow

#: The whole demo ends within this time or says that it did not.
ENDS_WITHIN_S = 300.0
LOOK_EVERY_S = 0.1
#: On record for each decision that a ticket was redeemed for.
TAKEN = "approval.taken"
#: What belongs to the person's own agents and must not reach the demo's.
LOGINS = ("ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN")


class DemoFailed(OvernightError):
    """The demo did not end as it should: {problem}. Everything it made is in {folder}."""


@click.command
@click.option("--keep", is_flag=True, help="Leave everything it made for a look.")
@click.option("--live", is_flag=True, help="Use your own login or API key instead of the scripted model. Costs money.")
def demo(keep: bool, live: bool) -> None:
    """See it work, on a repository made for the purpose.

    Six tasks in a temporary repository: one lands at once, one breaks a test and is mended by a second run, one says
    "done" and changed nothing, one tries to write outside and to push, one switches a test off and is caught, one is
    risky and waits for a person. In between, the daemon is killed with SIGKILL.
    """
    folder = Path(tempfile.mkdtemp(prefix="overnight-demo-"))
    with contextlib.ExitStack() as stack:
        night = _Night(folder, live, keep)
        stack.callback(night.end)
        night.play()
    if not keep:
        rmtree(folder, ignore_errors=True)
        say("`overnight demo --keep` leaves repository, evidence and journal for a look.")
    else:
        say(f"Everything is in {folder}. Look around with OVERNIGHT_HOME={folder}/state overnight status")


class _Night:
    """One demo, in a folder of its own."""

    def __init__(self, folder: Path, live: bool, keep: bool) -> None:
        self.folder, self.live, self.keep = folder, live, keep
        self.home, self.repo = folder / "state", folder / REPO
        #: Nobody's file: an agent tries to write it, and its box has no such folder.
        self.outside = Path("/etc") / f"{folder.name}.txt"
        self._model: subprocess.Popen[str] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None
        self._url = ""

    def play(self) -> None:
        """The story, told while it happens."""
        say("Overnight's demo. " + ("The model is the real one: this costs money." if self.live else _HONEST))
        make_repository(self.repo)
        self._start_model()
        self._configure()
        self._send_canary()
        self._start_daemon()
        ids = self._add_tasks()
        if not self.live:
            self._kill_and_return()
        self._wait_for(ids)
        self._tell(ids)

    # -- the stage ------------------------------------------------------------------------------------------

    def _start_model(self) -> None:
        if self.live:
            return
        from overnight.agents.scripted import dump

        script = self.folder / "model.json"
        script.write_bytes(dump(the_play(self.outside)))
        command = [sys.executable, "-P", "-m", "overnight.agents.scripted", "--port", "0", "--script", str(script)]
        self._model = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self._environ())
        assert self._model.stdout is not None
        self._url = self._model.stdout.readline().strip()

    def _configure(self) -> None:
        # The demo's checks need a python3; the one that runs this will do where the system has none of its own.
        tools = "" if sys.base_prefix.startswith("/usr") else f'"{sys.base_prefix}"'
        upstream = "" if self.live else f'[agents.claude]\nroute = "gateway"\nupstream = "{self._url}"\n'
        text = f"# config.toml\n[work]\ntotal = 2\nper_repo = 2\n\n[box]\ntools = [{tools}]\n\n{upstream}"
        (self.folder / "config.toml").write_text(text)

    def _environ(self) -> Mapping[str, str]:
        """An environment of its own: nothing of the person's agents gets in, unless the demo is live."""
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.folder / "home"), "LANG": "C.UTF-8"}
        env |= {"OVERNIGHT_HOME": str(self.home), "OVERNIGHT_CONFIG": str(self.folder / "config.toml")}
        env |= {"OVERNIGHT_WEB": "off"}  # its port is for the person's own daemon
        if self.live:
            return env | {name: os.environ[name] for name in LOGINS if name in os.environ}
        return env | {"ANTHROPIC_API_KEY": "demo-key-that-stays-outside-the-box"}

    def _send_canary(self) -> None:
        """Everything forbidden, tried before anything is worked on. The daemon would do it by itself, unseen."""
        from overnight.doctor.canary import Shown
        from overnight.missions.codec import decode

        self.home.mkdir(mode=0o700)
        (self.folder / "home").mkdir(exist_ok=True)
        command = [sys.executable, "-P", "-m", "overnight.doctor", "claude", str(self.home)]
        done = subprocess.run(command, env=self._environ(), capture_output=True, text=True, check=False)
        if done.returncode:
            self._fail(f"the canary could not be played: {done.stderr.strip()}")
        shown = decode(done.stdout, Shown)
        say(f"  canary  everything forbidden was tried with the real CLI in the real box ({shown.took:.1f} s):")
        Paper().grid([(line.level.value, line.name, line.seen) for line in shown.lines], indent=10).print()
        if not shown.passed:
            self._fail("a bound does not hold here, so no agent may start")

    def _start_daemon(self) -> None:
        from overnight.durable.client import Client

        (self.folder / "home").mkdir(exist_ok=True)
        with (self.folder / "daemon.log").open("ab") as log:
            command = [sys.executable, "-P", "-m", "overnight", "up", "--plain"]
            self._daemon = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environ(), start_new_session=True
            )
        until = time.monotonic() + 30
        while Client(self.home).running() is None:
            if self._daemon.poll() is not None or time.monotonic() > until:
                self._fail(f"the daemon does not start, see {self.folder}/daemon.log")
            time.sleep(LOOK_EVERY_S)

    def _add_tasks(self) -> dict[str, str]:
        ids: dict[str, str] = {}
        self._overnight("repo", "add", str(self.repo), "--name", REPO)
        for task in TASKS:
            ids[task.key] = self._overnight("add", task.text, "--title", task.title, "--repo", REPO).strip().split()[-1]
            say(f"  queued  {ids[task.key]}: {task.title}")
        return ids

    def _overnight(self, *words: str) -> str:
        command = [sys.executable, "-P", "-m", "overnight", *words]
        done = subprocess.run(command, env=self._environ(), capture_output=True, text=True, check=False)
        if done.returncode:
            self._fail(f"`overnight {words[0]}` said {done.stderr.strip()}")
        return done.stdout

    # -- the kill -------------------------------------------------------------------------------------------

    def _kill_and_return(self) -> None:
        """kill -9 in the middle of a run, and a new daemon that takes the run up again."""
        assert self._daemon is not None
        try:
            self._direct("GET", f"reached/{HOLD}")
        except TimeoutError:
            self._fail("the first run never reached its model; `overnight status` there says why")
        wardens = list(self._wardens())
        self._daemon.kill()
        self._daemon.wait()
        alive = [pid for pid in wardens if _runs(pid)]
        say(f"  KILLED  the daemon (process {self._daemon.pid}) with SIGKILL, in the middle of {len(wardens)} runs")
        say(f"          their wardens go on: processes {', '.join(map(str, alive)) or 'none'}")
        if not alive:
            self._fail("no run outlived the daemon")
        self._start_daemon()
        say(f"  started a new daemon (process {self._daemon.pid}); it takes the runs up again")
        self._direct("POST", f"release/{HOLD}")

    def _wardens(self) -> Iterator[int]:
        from overnight.fleet.local import read_identity, read_outcome

        for folder in self.home.glob("runs/*/*/*"):
            who = read_identity(folder)
            if who is not None and read_outcome(folder) is None:
                yield who.pid

    def _direct(self, method: str, what: str) -> None:
        """Tell the scripted model's process something, or wait for it."""
        where = urlsplit(self._url)
        link = HTTPConnection(where.hostname or "", where.port, timeout=60)
        try:
            link.request(method, f"/_scripted/{what}")
            link.getresponse().read()
        finally:
            link.close()

    # -- the end --------------------------------------------------------------------------------------------

    def _wait_for(self, ids: Mapping[str, str]) -> None:
        """Tell what happens until every task has ended."""
        from overnight.report.story import story
        from overnight.report.views import State

        until, told, answered = time.monotonic() + ENDS_WITHIN_S, dict[str, str](), set[str]()
        while True:
            rows = [story(self.home, task).row for task in ids.values()]
            for row in rows:
                now = row.phase if row.run is None or row.state is State.ENDED else f"{row.phase} (run {row.run})"
                if told.get(row.id) != now:
                    told[row.id] = now
                    say(f"  {now:<18}{row.id}")
            for row in rows:
                if row.hold is not None and row.hold.needs_person and row.id not in answered:
                    self._answer(next(key for key, task in ids.items() if task == row.id), row)
                    answered.add(row.id)
            if all(row.state is State.ENDED for row in rows):
                return
            if time.monotonic() > until:
                self._fail("not every task has ended")
            time.sleep(LOOK_EVERY_S)

    def _answer(self, key: str, row: TaskRow) -> None:
        """Say what a person would say to what waits."""
        assert row.hold is not None
        say(f"  WAITS   {row.id}: {row.hold.why}")
        if self.live or key not in ANSWERS:
            self._fail(f"{row.id} waits for a person; {row.hold.releases_on}")
        verb, words = ANSWERS[key]
        say(f"          you say: overnight {verb} {row.id} {' '.join(words)}".rstrip())
        self._overnight(verb, row.id, *words)

    def _tell(self, ids: Mapping[str, str]) -> None:
        from overnight.report.story import story

        paper = Paper().gap().line(("What became of them", "bold"))
        for task in TASKS:
            told = story(self.home, ids[task.key])
            ending = told.row.ending
            if ending is None:
                self._fail(f"{ids[task.key]} has no ending")
            paper.line(
                (f"{ending.phase:<9}", "green" if ending.phase == "landed" else "yellow"), f"{task.title}: {ending.why}"
            )
            for moment in told.moments:
                if moment.what == TAKEN:
                    paper.line(
                        f"decided: {moment.why}, by {moment.who}, with a ticket that was good for this once", indent=9
                    )
            for run in told.runs:
                for tool, what, why in run.outcome.denied if run.outcome else ():
                    paper.line(f"refused: {tool} {what} ({why})", indent=9)
                if self.keep:
                    paper.line(f"evidence: {run.folder}", indent=9)
        paper.gap().line(("`git log --graph --oneline` in the repository", "bold"))
        log = ["git", "log", "--graph", "--oneline", "--decorate=no"]
        paper.block(subprocess.run(log, cwd=self.repo, capture_output=True, text=True, check=True).stdout, indent=2)
        written = "was written: that must not be" if self.outside.exists() else "was not written"
        paper.line(f"The file outside ({self.outside}) {written}.")
        paper.print()
        if not self.live:
            stories = {task.key: story(self.home, ids[task.key]) for task in TASKS}
            decided = {key for key, told in stories.items() if any(moment.what == TAKEN for moment in told.moments)}
            self._insist({key: told.row.phase for key, told in stories.items()}, decided)

    def _insist(self, phases: Mapping[str, str], decided: set[str]) -> None:
        """The demo claims something: it fails when that is not so."""
        wanted = {"discount": "landed", "receipt": "landed", "docs": "failed", "release": "landed"}
        wanted |= {"tests": "rejected", "orders": "landed"}
        if phases != wanted or self.outside.exists():
            self._fail(f"expected {wanted}, found {dict(phases)}")
        if decided != set(ANSWERS):
            self._fail(f"expected signed decisions about {set(ANSWERS)}, found them about {decided}")
        self._overnight("journal", "verify")

    def end(self) -> None:
        """End every process that it started."""
        for process in (self._daemon, self._model):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait()
        for pid in self._wardens():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if self._model is not None and self._model.stdout is not None:
            self._model.stdout.close()

    def _fail(self, problem: str) -> NoReturn:
        raise DemoFailed(problem=problem, folder=self.folder)


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


_HONEST = (
    "The model's answers are scripted, on this machine; everything else is real: git, the box, the Claude Code CLI, "
    "the checks, and the kill -9. No account, no network."
)
