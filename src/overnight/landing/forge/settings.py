"""Settings of the forge, and which of its repositories a repo is."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

from overnight.judge.gate import GateSettings

#: `https://host/owner/name(.git)`, `ssh://git@host/owner/name.git`, `git@host:owner/name.git`
_URL = re.compile(r"(?:https?|ssh|git)://(?:[^@/]+@)?([^/:]+)(?::\d+)?/(.+)")
_SCP = re.compile(r"(?:[^@/:]+@)?([^/:]+):(?!//)(.+)")
#: Hosts that stand for others, where SSH is let through on the port of HTTPS only.
_ALIASES = {"ssh.github.com": "github.com"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/(?!\.{1,2}$)[A-Za-z0-9._-]+")


class ForgeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where pull requests are opened."""

    #: Nothing leaves this machine with `none`.
    kind: Literal["none", "github"] = "none"
    #: Base URL of the API; a GitHub Enterprise Server has it at `https://HOST/api/v3`.
    api: str = "https://api.github.com"
    #: Base URL that repositories are pushed to over HTTPS.
    git: str = "https://github.com"
    #: The environment variable of the daemon that holds the token.
    token_variable: Annotated[str, Meta(min_length=1)] = "OVERNIGHT_GITHUB_TOKEN"  # noqa: S105 (a name)
    #: The environment variable of the daemon that holds the secret of the webhooks; without it none is taken.
    webhook_variable: Annotated[str, Meta(min_length=1)] = "OVERNIGHT_WEBHOOK_SECRET"
    #: The remote that says which of the forge's repositories a repo is.
    remote: Annotated[str, Meta(min_length=1)] = "origin"
    #: The same for single repos, by their name here: `{ site = "acme/site" }`. It goes before the remote.
    repos: dict[str, Annotated[str, Meta(pattern=f"^{_NAME.pattern}$")]] = {}
    #: How the forge merges: `merge` or `squash`.
    merge: Literal["merge", "squash"] = "merge"
    #: Open pull requests as drafts. Some plans have none for private repositories.
    drafts: bool = True
    #: Requests of each hour that are left to whoever else uses the token.
    spare: Annotated[int, Meta(ge=0)] = 500
    gate: GateSettings = GateSettings()


class Place(Struct, frozen=True):
    """One repository of a forge."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"


def place_of(url: str, git: str) -> Place | None:
    """The repository that a remote's URL means on the forge at `git`; None when it is elsewhere."""
    found = _URL.fullmatch(url) or _SCP.fullmatch(url)
    ours = _URL.fullmatch(f"{git.rstrip('/')}/-")
    if found is None or ours is None or _host(found[1]) != _host(ours[1]):
        return None
    return named(found[2].strip("/").removeprefix(ours[2].removesuffix("-")).removesuffix(".git"))


def _host(name: str) -> str:
    return _ALIASES.get(name.lower(), name.lower())


def named(text: str) -> Place | None:
    """`owner/name` as a place; None when it is none."""
    return Place(*text.split("/")) if _NAME.fullmatch(text) else None
