"""`BoxedChecks`: a repo's checks, each in a box of its own on a clean checkout of its own.

The code under test is the agent's: what one check leaves behind must not speak in another.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from overnight.errors import BoxUnavailable
from overnight.landing import holds
from overnight.landing.git import Observer, config_in_environment, unobserved
from overnight.landing.places import Places, write_whole
from overnight.landing.private import write_private
from overnight.landing.repository import Repository, open_repository
from overnight.landing.text import head_and_tail
from overnight.landing.worktree import branch_name, fill
from overnight.missions.codec import decode, encode
from overnight.missions.policy import Check
from overnight.missions.run import CheckResult
from overnight.missions.task import Task
from overnight.missions.units import show_duration
from overnight.ports import Box, BoxedProcess, BoxSpec

#: Seconds between looks at how much a check has printed.
_LOOK = 0.5


#: Opens a way out: serves the socket, which listens inside a box, as an HTTPS proxy to these hosts; returns what
#: closes it again.
Door = Callable[[socket.socket, tuple[str, ...]], Awaitable[Callable[[], Awaitable[None]]]]


class CheckSettings(Struct, frozen=True, kw_only=True):
    """What checks find around them."""

    #: PATH inside.
    path: str = "/usr/local/bin:/usr/bin:/bin"
    #: Files and folders outside the system's own that checks may read: interpreters, dependency caches.
    tools: tuple[str, ...] = ()
    #: More environment for checks.
    env: dict[str, str] = {}
    #: Bytes of the beginning of the output, and as many of its end, that a result carries.
    shown: int = 16 << 10
    #: A check that prints more bytes than this is killed and counts as failed.
    printed: int = 256 << 20


class BoxedChecks:
    """The port `Checks`.

    state: the state folder. box: confines every check. egress: opens the way out for checks that ask for hosts;
    without it such a check holds.
    """

    def __init__(
        self,
        state: Path,
        box: Box,
        settings: CheckSettings | None = None,
        observer: Observer = unobserved,
        egress: Door | None = None,
    ) -> None:
        self._places = Places(state)
        self._box = box
        self._settings = settings or CheckSettings()
        self._observer = observer
        self._egress = egress

    async def run(self, task: Task, commit: str, checks: Mapping[str, Check], label: str) -> tuple[CheckResult, ...]:
        """As the port says. A check that passed on an equal tree before is not run again; a failed one always is.

        Raises Held(repo-unavailable) and Held(box-unavailable).
        """
        for name, check in checks.items():
            if check.egress and self._egress is None:
                why = f"check {name!r} asks for the network ({', '.join(check.egress)}), and checks run without one"
                raise holds.box_unavailable(why, f"no `egress` for check {name!r} in overnight.toml")
        repository = await open_repository(task.repo, self._places, self._observer)
        tree = await repository.tree(commit)
        done: list[CheckResult] = []
        for n, (name, check) in enumerate(checks.items(), start=1):
            passed = self._places.passed(self._key(tree, check))
            if passed.exists():
                done.append(_again(decode(passed.read_bytes(), CheckResult), name, commit))
                continue
            log = self._places.log(task.id, label, f"{n:02d}-{re.sub(r'[^A-Za-z0-9_-]+', '-', name)[:60]}")
            result = await self._all(repository, task, commit, name, check, f"{task.id}-{label}-{n}", log)
            if result.passed:
                write_whole(passed, encode(result))
            done.append(result)
        return tuple(done)

    def _key(self, tree: str, check: Check) -> str:
        settings = self._settings
        facts = encode(
            (
                tree,
                check.run,
                check.limit,
                check.egress,
                check.runs,
                settings.path,
                settings.tools,
                settings.env,
                self._box.level,
            )
        )
        return hashlib.sha256(facts).hexdigest()

    async def _all(
        self, repository: Repository, task: Task, commit: str, name: str, check: Check, scratch: str, log: Path
    ) -> CheckResult:
        """As often as it must pass, up to the first time that it does not. The time is that of all."""
        result = await self._one(repository, task, commit, name, check, scratch, log)
        seconds = result.seconds
        for k in range(1, check.runs):
            if not result.passed:
                break
            result = await self._one(
                repository, task, commit, name, check, scratch, log.with_name(f"{log.name}.{k + 1}")
            )
            seconds += result.seconds
            if not result.passed:
                chance = f"\n[it passed {k} times before it failed: it passes by chance]"
                result = replace(result, output=result.output + chance, wavers=True)
        return replace(result, seconds=seconds)

    async def _one(
        self, repository: Repository, task: Task, commit: str, name: str, check: Check, scratch: str, log: Path
    ) -> CheckResult:
        place = self._places.scratch(scratch)
        await asyncio.to_thread(self._places.discard, place)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        log.touch()
        try:
            spec = await self._spec(repository, task, commit, check, place, log)
            started = time.monotonic()
            code, end = await self._in_box(spec, check, log)
            seconds = time.monotonic() - started
        finally:
            await asyncio.shield(asyncio.to_thread(self._places.discard, place))
        return CheckResult(
            name=name, command=check.run, commit=commit, passed=code == 0, code=code, seconds=seconds,
            output=_output(log, self._settings.shown) + end, log=str(log),
        )  # fmt: skip

    async def _spec(
        self, repository: Repository, task: Task, commit: str, check: Check, place: Path, log: Path
    ) -> BoxSpec:
        """A checkout with a git dir of its own, a HOME and a place for temporary files, all thrown away after."""
        work, git, home, tmp = (place / name for name in ("work", "git", "home", "tmp"))
        for made in (work, git, home, tmp):
            made.mkdir(parents=True)
        await write_private(
            git, repository, start=commit, branch=branch_name(task), work_tree=work,
            branches=[(task.repo.target, commit)],
        )  # fmt: skip
        await fill(repository, work, git / "index", commit)
        (work / ".git").write_text(f"gitdir: {git}\n")
        env = {
            **config_in_environment({"safe.directory": "*"}),
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(home), "TMPDIR": str(tmp),
            "PATH": self._settings.path, "LANG": "C.UTF-8", "CI": "true", "NO_COLOR": "1", "TERM": "dumb",
            **self._settings.env,
        }  # fmt: skip
        ports = self._box.ports(1) if check.egress else ()
        for port in ports:
            env |= dict.fromkeys(("HTTPS_PROXY", "https_proxy"), f"http://127.0.0.1:{port}")
        return BoxSpec(
            argv=("/bin/sh", "-c", check.run), env=env, cwd=str(work), writable=(str(work), str(git), str(home), str(tmp)),
            readable=(*(str(store) for store in repository.stores), *self._settings.tools),
            ports=ports, stdout=str(log), stderr=str(log),
        )  # fmt: skip

    async def _in_box(self, spec: BoxSpec, check: Check, log: Path) -> tuple[int | None, str]:
        """Exit code, None for a check that was ended by us, and why it was."""
        try:
            process = await self._box.start(spec)
        except BoxUnavailable as error:
            raise holds.box_unavailable(f"checks can't be confined: {error}", "a box that starts") from error
        shut = [await self._egress(door, check.egress) for door in process.listeners] if self._egress else []
        try:
            return await self._bounded(process, check, log)
        finally:
            await asyncio.shield(process.kill())
            for close in shut:
                await asyncio.shield(close())

    async def _bounded(self, process: BoxedProcess, check: Check, log: Path) -> tuple[int | None, str]:
        end = time.monotonic() + check.limit
        waiting = asyncio.ensure_future(process.wait())
        try:
            while not waiting.done():
                left = end - time.monotonic()
                if left <= 0:
                    return None, f"\n[killed: it ran into its limit of {show_duration(check.limit)}]"
                if log.stat().st_size > self._settings.printed:
                    return None, f"\n[killed: it printed more than {self._settings.printed} bytes]"
                await asyncio.wait([waiting], timeout=min(left, _LOOK))
            over = process.exceeded()
            if over is not None and over.bound == "room":
                raise holds.disk_filled(over.why)
            return (waiting.result(), "") if over is None else (None, f"\n[killed: {over.why}]")
        finally:
            waiting.cancel()


def _again(before: CheckResult, name: str, commit: str) -> CheckResult:
    said = f"[passed on an equal tree, commit {before.commit}; not run again]\n{before.output}"
    return CheckResult(
        name=name, command=before.command, commit=commit, passed=True, code=0, seconds=before.seconds, output=said,
        log=before.log,
    )  # fmt: skip


def _output(log: Path, most: int) -> str:
    """The two ends of a log."""
    with log.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        if size <= 2 * most:
            return head_and_tail(file.read(), b"", 0)
        head = file.read(most)
        file.seek(size - most)
        return head_and_tail(head, file.read(most), size - 2 * most)
