"""A run's runbook: ticks are noticed, each becomes a commit, and a turn that would end too early is sent back.

What there is to be decided is `judge.course`'s. The commit is made in a box, with the agent's own git dir and work tree
and none of its hooks: what a planted setting makes git do stays where the agent could have done it itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from overnight.errors import Unavailable
from overnight.judge import course as judge
from overnight.judge.course import Course
from overnight.judge.stall import Condition, Finding
from overnight.missions.codec import encode
from overnight.missions.run import RunSpec
from overnight.missions.runbook import RunbookUse, Step
from overnight.ports import Box, BoxSpec
from overnight.warden.events import Deviated, Record, SentBack, Stepped, clean
from overnight.warden.world import RunDisk

#: A commit that takes longer is given up, and tried again with the next call.
PATIENCE_S = 40.0
#: More new files than this are not put into a step's commit: they were hardly meant to be there.
MOST_NEW = 500
#: In the run's folder: how it gets along with its runbook, for whoever finds it without its warden.
FILE = "runbook.json"
_SCRIPT = """
set -u
git_dir=$(git rev-parse --absolute-git-dir) || exit 11
for each in MERGE_HEAD CHERRY_PICK_HEAD REVERT_HEAD rebase-merge rebase-apply; do
    [ ! -e "$git_dir/$each" ] || exit 12
done
if [ "$(git ls-files --others --exclude-standard | head -n "$MOST" | wc -l)" -lt "$MOST" ]
then git add -A || exit 13
else git add -u && git add -- "$RUNBOOK" || exit 13
fi
if [ "$(git log -1 --format=%B)" != "$MESSAGE" ] || ! git diff --cached --quiet
then git commit -q --no-verify --allow-empty --cleanup=verbatim -m "$MESSAGE" || exit 14
fi
git rev-parse HEAD
"""
_WHY = {
    12: "a merge or rebase is under way: finish it, and the step is committed then",
    13: "git could not add what is in the folder",
    14: "git could not commit",
}
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "commit.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "advice.addEmbeddedRepo": "false",
}
_NAME, _EMAIL = "Overnight", "overnight@localhost"


class Steps:
    """Follows one run along its runbook."""

    def __init__(
        self, box: Box, folder: Path, spec: RunSpec, path: str, record: Record,
        tell: Callable[[str], None], end: Callable[[Finding], None],
    ) -> None:  # fmt: skip
        """folder: the run's. path: PATH inside. record: raises OSError when it can't. tell: says something to the agent
        with the next answer of its hooks. end: has the run ended. Raises RunbookInvalid."""
        assert spec.runbook is not None
        self._box, self._folder, self._spec, self._path, self._record = box, folder, spec, path, record
        self._tell, self._end = tell, end
        self._course: Course = judge.begin(spec.runbook, spec.limits.runbook)
        self._disk = RunDisk(spec.worktree, spec.worktree)
        self._file = f"{spec.worktree}/{spec.runbook.path}"
        self._one_by_one = asyncio.Lock()
        #: Ticked, and not committed yet.
        self._due: list[Step] = []
        self._let_go = False

    @property
    def ticks(self) -> int:
        """Boxes that are ticked now."""
        return len(self._course.now)

    @property
    def use(self) -> RunbookUse:
        """What became of it so far."""
        return self._course.use

    async def notice(self) -> None:
        """Look whether boxes were ticked, and commit them. Raises OSError when that can't be put on record."""
        async with self._one_by_one:
            self._course, seen = judge.seen(self._course, self._disk.read(self._file))
            for each in seen.deviations:
                self._record(Deviated(what=each.kind, words=each.words))
                self._tell(
                    f"Note from the supervisor about `{self._course.path}`: {each.words}. {_advice(each.of_text)}"
                )
            self._due += seen.fresh
            if self._due:
                await self._commit(tuple(self._due))
            self._keep()

    def tried(self, command: str) -> None:
        """A command of the agent failed."""
        self._course, note = judge.tried(self._course, command, self._spec.checks)
        if note:
            self._tell(note)
        if self._course.spent:
            self._end(Finding(condition=Condition.ERROR_BUDGET, stop=True, why=self._course.spent))
        self._keep()

    async def would_end(self) -> str:
        """What the agent is sent back with; empty when it may end its turn."""
        await self.notice()
        async with self._one_by_one:
            again = judge.not_again(self._course)
            self._course, words = judge.ended(self._course)
            if words:
                self._record(SentBack(times=self._course.sent_back, words=words))
            elif again and self._course.open:
                self._record(Deviated(what="let-go", words=again))
            self._keep()
            return words

    def _keep(self) -> None:
        """For whoever finds the run without its warden. It holds no more than the outcome will."""
        with contextlib.suppress(OSError):
            making = self._folder / f"{FILE}.new"
            making.write_bytes(encode(self.use))
            making.replace(self._folder / FILE)

    # -- committing -----------------------------------------------------------------------------------------

    async def _commit(self, steps: tuple[Step, ...]) -> None:
        out = self._folder / "step.out"
        with contextlib.suppress(FileNotFoundError):
            out.unlink()
        try:
            async with asyncio.timeout(PATIENCE_S):
                code = await self._in_a_box(steps, out)
        except (OSError, TimeoutError, Unavailable) as error:
            return self._failed(steps, str(error) or "it took too long")
        if code != 0:
            return self._failed(steps, _WHY.get(code, f"git ended with {code}"))
        commit = clean(out.read_text(errors="replace"), 200).strip()
        self._record(Stepped(step=judge.told(steps), commit=commit))
        self._due.clear()
        if left := self._course.open:
            self._tell(f"Note from the supervisor: {judge.told(steps)} is committed. Next is step {left[0].words}")
        return None

    def _failed(self, steps: Sequence[Step], why: str) -> None:
        self._record(Deviated(what="not-committed", words=f"{judge.told(tuple(steps))}: {why}"))
        self._tell(f"Note from the supervisor: {judge.told(tuple(steps))} is not committed yet, because {why}.")

    async def _in_a_box(self, steps: tuple[Step, ...], out: Path) -> int:
        process = await self._box.start(self._box_spec(steps, out))
        for listener in process.listeners:
            listener.close()
        try:
            return await process.wait()
        finally:
            await process.kill()

    def _box_spec(self, steps: tuple[Step, ...], out: Path) -> BoxSpec:
        spec, home = self._spec, self._folder / "steps"
        home.mkdir(mode=0o700, exist_ok=True)
        settings = {"GIT_CONFIG_COUNT": str(len(_SETTINGS))}
        for n, (key, value) in enumerate(_SETTINGS.items()):
            settings |= {f"GIT_CONFIG_KEY_{n}": key, f"GIT_CONFIG_VALUE_{n}": value}
        numbers = ", ".join(str(step.number) for step in steps)
        return BoxSpec(
            argv=(shutil.which("sh", path=self._path) or "/bin/sh", "-c", _SCRIPT),
            env={
                "PATH": self._path,
                "HOME": str(home),
                "LANG": "C.UTF-8",
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_EDITOR": "true",
                "GIT_AUTHOR_NAME": spec.agent,
                "GIT_AUTHOR_EMAIL": _EMAIL,
                "GIT_COMMITTER_NAME": _NAME,
                "GIT_COMMITTER_EMAIL": _EMAIL,
                "MESSAGE": f"{judge.told(steps)}\n\nOvernight-Step: {numbers}\nOvernight-Run: {spec.id}",
                "RUNBOOK": os.fspath(self._course.path),
                "MOST": str(MOST_NEW),
                **settings,
            },
            cwd=spec.worktree,
            writable=(spec.worktree, spec.git_dir, str(home)),
            readable=(spec.objects, *spec.alternates),
            git=(spec.worktree, spec.git_dir),
            stdout=str(out),
            stderr=str(self._folder / "step.err"),
        )


def _advice(of_text: bool) -> str:
    if of_text:
        return "Only boxes may be changed there, from `[ ]` to `[x]`: put back what was there."
    return "Take one step at a time, in order."
