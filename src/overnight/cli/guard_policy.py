"""The guard's policy where a person works: the machine's settings, and the repo's wishes from its target branch.

A hook has a tenth of a second, so it reads `[guard]` (and `paths.sensitive`) alone and imports little. What it can't
make sense of is read again as a whole, which says what is wrong, with line and column; nothing is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from overnight.config.places import POLICY_FILE, POLICY_KEYS, SETTINGS_KEYS, settings_path
from overnight.errors import GitFailed
from overnight.guard.policy import ATTENDED, GuardPolicy, GuardTable, Layers

if TYPE_CHECKING:
    from overnight.config.guard import GuardSettings

#: Where a repo's policy is looked for; the first branch that has one counts.
BRANCHES = ("refs/heads/main", "refs/heads/master", "refs/remotes/origin/HEAD")


def layers_at(worktree: str, environ: Mapping[str, str], *, attended: bool) -> Layers:
    """Who says what about a call in this work tree.

    Raises SettingsInvalid, PolicyInvalid, GitFailed: then nothing may be allowed.
    """
    settings = _settings(environ)
    user = settings.tables(attended) if settings is not None else ()
    found = policy_on_target(worktree, environ)
    table, sensitive = _repo(*found) if found is not None else (GuardTable(), ())
    return Layers(base=ATTENDED if attended else GuardPolicy(), user=user, repo=table, sensitive=sensitive)


# -- the user's ---------------------------------------------------------------------------------------------


def _settings(environ: Mapping[str, str]) -> GuardSettings | None:
    from overnight.errors import SettingsInvalid

    path = settings_path(environ)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if not environ.get("OVERNIGHT_CONFIG"):
            return None
        data = None
    except OSError:
        data = None
    if data is not None and (values := _loaded(data, SETTINGS_KEYS)) is not None:
        if "guard" not in values:
            return None
        from overnight.config.guard import GuardSettings, guard_rules

        made = _made(values["guard"], GuardSettings)
        if made is not None and not any((*guard_rules(made, ()), *guard_rules(made.attended, ()))):
            return made
    from overnight.config import read_settings

    whole = read_settings(environ)
    if data is None:
        raise SettingsInvalid(where=path, problem="changed while it was read. Try again.")
    return whole.guard


# -- the repo's ---------------------------------------------------------------------------------------------


def _repo(data: bytes, where: str) -> tuple[GuardTable, tuple[str, ...]]:
    """What a repo's policy file asks of the guard, and its sensitive paths."""
    values = _loaded(data, POLICY_KEYS)
    if values is not None and (sensitive := _made(values.get("paths", {}), dict[str, tuple[str, ...]])) is not None:
        if "guard" not in values:
            return GuardTable(), sensitive.get("sensitive", ())
        from overnight.config.guard import guard_rules

        made = _made(values["guard"], GuardTable)
        if made is not None and not any(guard_rules(made, (), repo=True)):
            return made, sensitive.get("sensitive", ())
    from overnight.config import read_policy

    policy = read_policy(data, where)
    return policy.guard, policy.paths.sensitive


def policy_on_target(worktree: str, environ: Mapping[str, str]) -> tuple[bytes, str] | None:
    """The repo's policy file as it is on the target branch, and how to call it; None when there is none.

    The file names the target itself, so one that names another branch is followed there, once. The agent's copy in the
    work tree is never looked at. Raises GitFailed.
    """
    if not os.path.lexists(f"{worktree}/.git"):
        return None
    found = _on(BRANCHES, worktree, environ)
    if found is None or b"target" not in found[0]:
        return found
    named = (_loaded(found[0], POLICY_KEYS) or {}).get("target")
    branch = f"refs/heads/{named}"
    if not isinstance(named, str) or found[1].endswith(f" {branch}") or not branch.isprintable() or " " in branch:
        return found
    return _on((branch,), worktree, environ) or found


def _on(branches: tuple[str, ...], worktree: str, environ: Mapping[str, str]) -> tuple[bytes, str] | None:
    said = _git(worktree, environ, "".join(f"{branch}:{POLICY_FILE}\n" for branch in branches).encode())
    for branch in branches:
        head, _, rest = said.partition(b"\n")
        words = head.rsplit(b" ", 2)
        if words[-2:-1] == [b"blob"]:
            return rest[: int(words[-1])], f"{POLICY_FILE} on {branch}"
        if not head.endswith(b" missing"):
            break
        said = rest
    else:
        return None
    raise GitFailed(command="cat-file --batch", code=0, stderr=said[:200].decode(errors="replace"))


def _git(worktree: str, environ: Mapping[str, str], names: bytes) -> bytes:
    """What `git cat-file --batch` prints. Started without `subprocess`, whose import takes longer than git."""
    words = ("git", "-C", worktree, "cat-file", "--batch")
    env = {key: environ[key] for key in ("PATH", "HOME", "XDG_CONFIG_HOME") if key in environ}
    env |= {
        "LC_ALL": "C", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_TERMINAL_PROMPT": "0",
        "GIT_CEILING_DIRECTORIES": os.path.dirname(worktree),  # noqa: PTH120 (pathlib need not be imported for it)
    }  # fmt: skip
    ask, told = os.pipe(), os.pipe()
    try:
        os.write(ask[1], names)
        os.close(ask[1])
        actions = [
            (os.POSIX_SPAWN_DUP2, ask[0], 0),
            (os.POSIX_SPAWN_DUP2, told[1], 1),
            (os.POSIX_SPAWN_DUP2, told[1], 2),
        ]
        try:
            child = os.posix_spawnp("git", words, env, file_actions=actions)
        except OSError as error:
            raise GitFailed(command="cat-file --batch", code=127, stderr=str(error)) from None
    finally:
        os.close(ask[0])
        os.close(told[1])
    with open(told[0], "rb") as file:  # noqa: PTH123 (a descriptor, not a path)
        said = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != 0:
        raise GitFailed(command="cat-file --batch", code=code, stderr=said.decode(errors="replace").strip())
    return said


# -- both ---------------------------------------------------------------------------------------------------


def _loaded(data: bytes, known: frozenset[str]) -> dict[str, Any] | None:
    """The tables of a file; None when something about it is wrong or not known here."""
    import tomllib

    try:
        values = tomllib.loads(data.decode())
    except (ValueError, RecursionError):
        return None
    return values if values.keys() <= known else None


def _made(value: Any, kind: Any) -> Any:
    """The value as this kind; None when it does not have its form."""
    import msgspec

    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError:
        return None
