"""`Git`: the only way this room calls git. Every call is made with a safe configuration and a bare environment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from overnight.errors import GitFailed

#: Called with ("before" | "after", "git update-ref ...") around each call that may change something.
Observer = Callable[[str, str], None]

#: No program of anybody's starts, no network is used, nothing is collected behind our back.
SAFE: Mapping[str, str] = {
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.attributesFile": "/dev/null",
    "core.pager": "cat",
    "core.editor": "false",
    "core.askPass": "false",
    "core.sshCommand": "false",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "core.logAllRefUpdates": "true",
    "core.commitGraph": "true",
    "checkout.workers": "0",
    "commit.gpgSign": "false",
    "diff.ignoreSubmodules": "all",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "merge.renames": "true",
    "protocol.allow": "never",
    "submodule.recurse": "false",
    "advice.detachedHead": "false",
    "worktree.guessRemote": "false",
}

_BARE_ENVIRONMENT: Mapping[str, str] = {
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
#: Seconds between asking git to end and ending it.
_GRACE = 5.0
#: Seconds before each further call of what failed since another git was making a worktree; and git's words for that.
_AGAIN_S = (0.05, 0.1, 0.2, 0.4, 0.8)
_HALF_MADE = re.compile(rb"failed to read \S.*/commondir")
#: Bytes of git's own words that an error carries.
_SAID = 4000


class Done(Struct, frozen=True):
    """A git call that ended."""

    code: int
    out: bytes
    err: bytes


def unobserved(_when: str, _command: str) -> None:
    """The observer of ordinary life."""


class Git:
    """git on one git dir, named outright, so that no folder's `.git` is ever looked up or trusted.

    work_tree: the folder that commands with a work tree are about. env: more variables (an index file, an object
    store). config: more settings over the safe ones.
    """

    def __init__(
        self,
        git_dir: Path,
        *,
        work_tree: Path | None = None,
        env: Mapping[str, str] | None = None,
        config: Mapping[str, str] | None = None,
        observer: Observer = unobserved,
        limit: float = 600.0,
    ) -> None:
        self.git_dir = git_dir
        self.work_tree = work_tree
        self.observer = observer
        self._limit = limit
        self._env = dict(env or {})
        self._config = dict(config or {})

    def on(
        self,
        work_tree: Path | None = None,
        env: Mapping[str, str] | None = None,
        config: Mapping[str, str] | None = None,
    ) -> Git:
        """The same git dir with another work tree, and more environment and configuration."""
        return Git(
            self.git_dir,
            work_tree=work_tree or self.work_tree,
            env={**self._env, **(env or {})},
            config={**self._config, **(config or {})},
            observer=self.observer,
            limit=self._limit,
        )

    async def run(self, *args: str, stdin: bytes | BinaryIO = b"", env: Mapping[str, str] | None = None) -> bytes:
        """Its standard output. Raises GitFailed when it ends with anything but 0 or takes too long."""
        return (await self.call(*args, stdin=stdin, env=env)).out

    async def text(self, *args: str, stdin: bytes = b"") -> str:
        """Its output as stripped text."""
        return os.fsdecode(await self.run(*args, stdin=stdin)).strip()

    async def ask(self, *args: str) -> str | None:
        """Its output as stripped text, or None when it says no (exit code 1 or 128)."""
        done = await self.call(*args, ok=(0, 1, 128))
        return os.fsdecode(done.out).strip() if done.code == 0 else None

    async def call(
        self,
        *args: str,
        stdin: bytes | BinaryIO = b"",
        ok: Collection[int] = (0,),
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """Run it to its end. A cancelled call asks git to end and waits for that, so that no lock is left.

        While some git, ours or a person's, is making a worktree, most commands of all others fail for an instant: they
        had done nothing yet, and are called again.
        """
        pauses = iter(_AGAIN_S if isinstance(stdin, bytes) else ())
        while True:
            done = await self._once(args, stdin, env)
            half_made = done.code != 0 and _HALF_MADE.search(done.err) is not None
            if done.code in ok and not half_made:
                return done
            pause = next(pauses, None) if half_made else None
            if pause is None:
                said = done.err.decode(errors="replace").strip()
                raise GitFailed(command=shlex.join(args), code=done.code, stderr=said[:_SAID])
            await asyncio.sleep(pause)

    async def _once(self, args: tuple[str, ...], stdin: bytes | BinaryIO, env: Mapping[str, str] | None) -> Done:
        command = shlex.join(("git", *args))
        self.observer("before", command)
        process = await asyncio.create_subprocess_exec(
            "git",
            *args,
            env={**self.environment(), **(env or {})},
            cwd=self.work_tree or self.git_dir,
            stdin=asyncio.subprocess.PIPE if isinstance(stdin, bytes) else stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        talk = asyncio.ensure_future(process.communicate(stdin if isinstance(stdin, bytes) else None))
        try:
            async with asyncio.timeout(self._limit):
                out, err = await asyncio.shield(talk)
        except TimeoutError:
            raise GitFailed(
                command=shlex.join(args), code="ended by us", stderr=f"took over {self._limit:g} s"
            ) from None
        finally:
            for ending in (signal.SIGTERM, signal.SIGKILL):  # git's own children too: they hold its pipes
                if not talk.done():
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, ending)
                    await asyncio.wait([talk], timeout=_GRACE)
        code = process.returncode
        assert code is not None
        self.observer("after", command)
        return Done(code, out, err)

    def environment(self) -> dict[str, str]:
        """All that git sees: nothing of ours but PATH and HOME (for `~` in the repository's own settings)."""
        given = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        tree = {"GIT_WORK_TREE": str(self.work_tree)} if self.work_tree else {}
        return {
            **given, **_BARE_ENVIRONMENT, **config_in_environment({**SAFE, **self._config}),
            "GIT_DIR": str(self.git_dir), **tree, **self._env,
        }  # fmt: skip


def config_in_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """git settings as environment variables, which win over every file and reach git's own children."""
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for i, (key, value) in enumerate(settings.items()):
        found |= {f"GIT_CONFIG_KEY_{i}": key, f"GIT_CONFIG_VALUE_{i}": value}
    return found
