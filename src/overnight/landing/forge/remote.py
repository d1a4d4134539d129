"""`Remote`: git over HTTPS to one repository of a forge.

Every call has a git dir of its own that reads no settings but ours and knows no hooks; objects are the user's. The
token reaches git's credential helper through the environment, never its arguments or a file.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from overnight.errors import GitFailed
from overnight.landing.forge import holds
from overnight.landing.forge.settings import ForgeSettings, Place
from overnight.landing.git import Done, Git
from overnight.landing.private import quoted_path
from overnight.landing.repository import Repository, write_skeleton
from overnight.ports import ForgeRefused

_VARIABLE = "OVERNIGHT_FORGE_TOKEN"
_HELPER = f"""!f() {{ test "$1" = get && printf 'username=x-access-token\\npassword=%s\\n' "${_VARIABLE}"; }}; f"""
_STATUS = re.compile(r"returned error: (\d{3})")
_UNKNOWN = re.compile(r"repository '.*' not found|Repository not found", re.I)
_REFUSED_LOGIN = re.compile(r"Authentication failed|could not read (Username|Password)|Invalid username or", re.I)
_LOST = re.compile(
    r"Could not resolve|Failed to connect|Connection (refused|reset|timed out)|Couldn't connect|Empty reply"
    r"|unexpected disconnect|hung up|Operation timed out|early EOF|Recv failure|Send failure|transfer closed"
    r"|SSL|Operation too slow|invalid index-pack output|RPC failed; curl",
    re.I,
)
_PROTECTED = re.compile(r"protected|GH006|GH013|rule violations", re.I)
_SECRET = re.compile(r"GH013[\s\S]*secret|push protection|secret scanning", re.I)
#: Bytes a second under which, for a minute, a transfer counts as lost.
_SLOW = {"http.lowSpeedLimit": "1000", "http.lowSpeedTime": "60"}


class Remote:
    """The forge's side of a repo. token: "" where there is none; every call holds then."""

    def __init__(
        self,
        repository: Repository,
        place: Place,
        settings: ForgeSettings,
        token: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._repository, self._settings, self._token, self._clock = repository, settings, token, clock
        self.url = f"{settings.git.rstrip('/')}/{place}.git"

    async def where(self, *branches: str) -> dict[str, str]:
        """Where branches are on the forge; those that are not there are left out. Raises Held."""
        async with self._git() as git:
            refs = [f"refs/heads/{branch}" for branch in branches]
            done = await self._call(git, "ls-remote", "--refs", "--", self.url, *refs)
        found = {ref: commit for commit, _, ref in (line.partition("\t") for line in done.out.decode().splitlines())}
        return {branch: found[ref] for branch, ref in zip(branches, refs, strict=True) if ref in found}

    async def bring(self, branch: str, commit: str, known: Sequence[str]) -> None:
        """Have a branch's commit and all it needs here. known: commits that are here already. Raises Held."""
        if await self._repository.commit(commit) is not None:
            return
        async with self._git(known) as git:
            await self._call(
                git, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
                "--no-auto-maintenance", "--", self.url, f"refs/heads/{branch}",
            )  # fmt: skip

    async def push(self, branch: str, commit: str, expected: str) -> ForgeRefused | None:
        """Point a branch at a commit, if it is still where it is expected ("": missing). Raises Held."""
        ref = f"refs/heads/{branch}"
        async with self._git() as git:
            done = await self._call(
                git, "push", "--porcelain", "--no-verify", "--no-follow-tags", "--no-signed",
                "--recurse-submodules=no", f"--force-with-lease={ref}:{expected}", "--", self.url, f"{commit}:{ref}",
                no="rejected]",
            )  # fmt: skip
        if done.code == 0:
            return None
        return _refusal(branch, done.out.decode(errors="replace") + done.err.decode(errors="replace"))

    @asynccontextmanager
    async def _git(self, known: Sequence[str] = ()) -> AsyncGenerator[Git]:
        """git in a folder made for one call. known: commits that it tells the forge it has."""
        if not self._token:
            raise holds.auth(
                f"{self._settings.token_variable} is not set for the daemon", self._settings.token_variable
            )
        with tempfile.TemporaryDirectory(prefix="overnight-forge-") as folder:
            git_dir = Path(folder) / "git"
            write_skeleton(git_dir, self._repository.object_format)
            (git_dir / "objects/info/alternates").write_bytes(
                b"".join(quoted_path(store) + b"\n" for store in self._repository.stores)
            )
            (git_dir / "packed-refs").write_text(
                "# pack-refs with: sorted \n" + "".join(f"{c} refs/known/{i:04}\n" for i, c in enumerate(known))
            )
            env = {"GIT_OBJECT_DIRECTORY": str(self._repository.objects), "HOME": folder, _VARIABLE: self._token}
            shallow = self._repository.common / "shallow"
            if shallow.exists():
                env["GIT_SHALLOW_FILE"] = str(shallow)
            config = {
                f"protocol.{self.url.partition(':')[0]}.allow": "always",
                "credential.helper": _HELPER, "http.followRedirects": "false", **_SLOW,
            }  # fmt: skip
            yield Git(git_dir, env=env, config=config, observer=self._repository.git.observer)

    async def _call(self, git: Git, *args: str, no: str = "\0") -> Done:
        """What git said. Raises Held for what may pass, and GitFailed for what should not be.

        no: what its output holds when the other side said no, which is an answer.
        """
        done = await git.call(*args, ok=range(256))
        if done.code == 0 or no in done.out.decode(errors="replace"):
            return done
        said = done.err.decode(errors="replace").replace(self._token, "***").strip()
        now, status = self._clock(), int(found[1]) if (found := _STATUS.search(said)) else 0
        variable = self._settings.token_variable
        if status == 401 or _REFUSED_LOGIN.search(said):
            raise holds.auth(f"{self.url} does not take the token: {said[:300]}", variable)
        if status in (403, 404) or _UNKNOWN.search(said):
            raise holds.auth(f"the token may not use {self.url}, or it is not there: {said[:300]}", variable)
        if status == 429:
            raise holds.limit(f"{self.url} asks for a pause", now + 60)
        if status >= 500:
            raise holds.outage(f"{self.url} fails: {said[:300]}", now)
        if _LOST.search(said):
            raise holds.lost(f"{self.url} does not answer: {said[:300]}", now)
        raise GitFailed(command=args[0], code=done.code, stderr=said[:2000])


def _refusal(branch: str, said: str) -> ForgeRefused:
    """Why the forge did not take a push."""
    words = " ".join(line.removeprefix("remote:").strip() for line in said.splitlines() if line.strip())[:500]
    if "stale info" in said or "fetch first" in said:
        return ForgeRefused(reason="moved", why=f"`{branch}` was moved by somebody else just now")
    if _SECRET.search(said):
        return ForgeRefused(reason="gate", why=f"the forge sees a secret in what is pushed: {words}")
    if _PROTECTED.search(said):
        return ForgeRefused(reason="protected", why=f"the forge protects `{branch}`: {words}")
    return ForgeRefused(reason="forbidden", why=f"the forge does not take `{branch}`: {words}")
