"""git: global options, settings that run code, and which subcommand goes where."""

from __future__ import annotations

import re

from overnight.guard.effects import GitLocal, Write
from overnight.guard.machine import Run, model
from overnight.guard.models.git_local import LOCAL_VERBS
from overnight.guard.models.git_remote import REMOTE_VERBS
from overnight.guard.options import options
from overnight.guard.text import HOLE, LOCAL, STAR, Text

_GLOBAL = (
    "-C",
    "-c",
    "--git-dir",
    "--work-tree",
    "--namespace",
    "--exec-path",
    "--config-env",
    "--super-prefix",
    "--attr-source",
    "--list-cmds",
)
#: Settings whose value is run, by regex; the value is shell code (after a `!` for aliases and credential helpers).
_CODE = re.compile(
    r"(?i)(?:core\.(?:sshcommand|pager|editor|fsmonitor|askpass|gitproxy)|sequence\.editor|diff\.external|diff\..*\.(?:command|textconv)"
    r"|(?:merge|filter)\..*\.(?:driver|clean|smudge|process)|pager\..*|gpg\.(?:.*\.)?program|credential\.(?:.*\.)?helper"
    r"|(?:difftool|mergetool)\..*\.cmd|interactive\.difffilter|uploadpack\.packobjectshook|browser\..*\.cmd|man\..*\.cmd"
    r"|sendemail\..*cmd|protocol\.ext\.allow|remote\..*\.(?:uploadpack|receivepack|proxy|vcs)|trailer\..*\.(?:command|cmd)"
    r"|receive\.proc.*|init\.templatedir|include\.path|includeif\..*\.path|core\.alternaterefscommand|core\.worktree|url\..*\.(?:push)?insteadof|core\.gitproxy)\Z"
)
_HARMLESS_VALUE = re.compile(
    r"(?:/usr/bin/)?(?:cat|less|more|vi|vim|nvim|nano|emacs|true|false|:|code|delta|bat|store|cache|osxkeychain|manager(?:-core)?|head"
    r"|diff-so-fancy|0|1|no|yes|gpg2?|ssh-keygen|!gh auth git-credential|)(?:\s+-[-\w=]+)*\Z"
)
_CHANGES = frozenset(
    [
        "add",
        "am",
        "apply",
        "checkout",
        "cherry-pick",
        "clean",
        "commit",
        "merge",
        "mv",
        "pull",
        "rebase",
        "reset",
        "restore",
        "revert",
        "rm",
        "stash",
        "switch",
        "update-ref",
        "update-index",
        "init",
        "config",
    ]
)
#: Builtins shadow aliases.
_SUBS = frozenset(
    [
        "add",
        "am",
        "annotate",
        "apply",
        "archive",
        "bisect",
        "blame",
        "branch",
        "bundle",
        "cat-file",
        "check-attr",
        "check-ignore",
        "checkout",
        "cherry",
        "cherry-pick",
        "clean",
        "clone",
        "commit",
        "commit-tree",
        "config",
        "count-objects",
        "describe",
        "diff",
        "diff-files",
        "diff-index",
        "diff-tree",
        "difftool",
        "fast-export",
        "fast-import",
        "fetch",
        "filter-branch",
        "for-each-ref",
        "format-patch",
        "fsck",
        "gc",
        "grep",
        "hash-object",
        "help",
        "init",
        "interpret-trailers",
        "instaweb",
        "log",
        "ls-files",
        "ls-remote",
        "ls-tree",
        "maintenance",
        "merge",
        "merge-base",
        "mergetool",
        "mktag",
        "mktree",
        "mv",
        "name-rev",
        "notes",
        "pack-refs",
        "prune",
        "prune-packed",
        "pull",
        "push",
        "range-diff",
        "read-tree",
        "rebase",
        "reflog",
        "remote",
        "repack",
        "replace",
        "rerere",
        "reset",
        "restore",
        "rev-list",
        "rev-parse",
        "revert",
        "rm",
        "send-email",
        "shortlog",
        "show",
        "show-branch",
        "show-ref",
        "sparse-checkout",
        "stage",
        "stash",
        "status",
        "submodule",
        "switch",
        "symbolic-ref",
        "tag",
        "update-index",
        "update-ref",
        "var",
        "verify-commit",
        "verify-tag",
        "version",
        "whatchanged",
        "worktree",
        "write-tree",
    ]
)


@model("git", "git.exe", "hub", "yadm")
def git(run: Run) -> Text | None:
    """Find the subcommand and judge it."""
    found = options(run.args, valued=_GLOBAL, leading=True)
    if not found.operands:
        return Text(HOLE)
    settings: dict[str, str] = {}
    for setting in found.all("-c"):
        name, equals, value = setting.partition("=")
        settings[name.lower()] = value if equals else "true"
    _from_environment(run, settings)
    for name in found.all("--exec-path"):
        run.emit(GitLocal(verb="config-exec", detail=f"--exec-path={name}", words=run.words))
    sub, args = str(found.operands[0]), found.operands[1:]
    state = run.state.copy()
    places = [*found.all("--work-tree"), *found.all("--git-dir")]
    folders = found.all("-C")
    for folder in folders:
        state.cwd = run.path(folder) if state.cwd == run.state.cwd else f"{state.cwd}/{folder}"
    inner = Run(run.m, state, [run.argv[0], found.operands[0], *args], run.stdin)
    if sub in _CHANGES and not {"--help", "-h", "--dry-run", "-n", "--list", "-l", "list", "show"} & set(args):
        # A repository elsewhere is a folder that would be written.
        for place in [*([state.cwd] if folders else []), *[inner.path(place) for place in places]]:
            run.emit(Write(path=place.removesuffix("/.git"), how="folder", words=run.words))
    return _sub(inner, sub, args, settings)


def _from_environment(run: Run, settings: dict[str, str]) -> None:
    """`GIT_CONFIG_COUNT` and its keys, `GIT_CONFIG_PARAMETERS`, `GIT_CONFIG_GLOBAL`."""
    state = run.state
    get = {
        name: str(values[0])
        for name, values in state.vars.items()
        if name.startswith("GIT_CONFIG") and name in state.exported
    }
    for number in range(
        int(get["GIT_CONFIG_COUNT"])
        if get.get("GIT_CONFIG_COUNT", "").isdigit() and len(get["GIT_CONFIG_COUNT"]) < 3
        else 0
    ):
        key = get.get(f"GIT_CONFIG_KEY_{number}")
        if key:
            settings[key.lower()] = get.get(f"GIT_CONFIG_VALUE_{number}", "")
    for key, _, value in re.findall(r"'([^'=]+)(=|'=')([^']*)'", get.get("GIT_CONFIG_PARAMETERS", "")):
        settings[key.lower()] = value
    for name in ("HUSKY", "SKIP", "HUSKY_SKIP_HOOKS", "LEFTHOOK", "OVERCOMMIT_DISABLE", "PRE_COMMIT_ALLOW_NO_CONFIG"):
        if (
            name in state.exported
            and {"commit", "push", "merge"} & set(run.args[:3])
            and state.vars.get(name, ("1",))[0] != "1"
        ):
            run.emit(GitLocal(verb="hooks-skip", detail=name, words=run.words))
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG"):
        if get.get(name) not in (None, "/dev/null", ""):
            run.emit(GitLocal(verb="config-exec", detail=name, words=run.words))


def _sub(run: Run, sub: str, args: list[Text], settings: dict[str, str]) -> Text | None:
    alias = settings.get("alias." + sub.lower(), run.m.aliases.get("alias." + sub.lower()))
    if alias is not None and sub not in _SUBS:
        rest = {name: value for name, value in settings.items() if name != "alias." + sub.lower()}
        if alias.startswith("!"):
            return run.shell(Text(alias[1:] + " " + " ".join(args)), "git alias")
        run.m.step()
        words = [Text("git"), *(Text(f"-c{name}={value}") for name, value in rest.items())]
        return run.shell(Text(_joined(words) + " " + alias + " " + _joined(args)), "git alias")
    for name, value in settings.items():
        setting(run, name, value, sub)
    if HOLE in sub:
        run.unverifiable("the git subcommand is not known")
        return Text(HOLE)
    if {"-h", "--help"} & set(args):
        return Text(HOLE)
    verb = LOCAL_VERBS.get(sub) or REMOTE_VERBS.get(sub)
    if verb is not None:
        out = verb(run, args)
        if out is not None:
            return out
    if sub == "rev-parse" and "--show-toplevel" in args:
        return Text(run.m.bounds.worktree)
    if sub in ("rev-parse", "branch", "describe", "symbolic-ref", "merge-base", "rev-list", "config"):
        return Text(STAR)
    return Text(HOLE, LOCAL)


def _joined(words: list[Text]) -> str:
    return " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)


def setting(run: Run, name: str, value: str, sub: str) -> None:
    """A setting given on the command line, or written by `git config`."""
    if name == "core.hookspath":
        if sub not in ("status", "log", "diff", "show", "rev-parse"):
            run.emit(GitLocal(verb="hooks-skip", detail=name, words=run.words))
    elif name in ("gc.pruneexpire", "gc.reflogexpire", "gc.reflogexpireunreachable") and value in (
        "now",
        "all",
        "0",
        "never",
    ):
        if sub in ("gc", "reflog", "config", "maintenance"):
            run.emit(GitLocal(verb="history", detail=f"{name}={value}", words=run.words))
    elif (
        name.startswith("http.")
        and name.endswith(("sslverify", "schannelcheckrevoke"))
        and value.lower() in ("false", "0", "no")
    ):
        run.emit(GitLocal(verb="config-exec", detail=f"{name}={value}"[:120], words=run.words))
    elif name == "core.editor" or name == "sequence.editor" or name.startswith("pager.") or name == "core.pager":
        if not _HARMLESS_VALUE.match(value):
            run.shell(Text(value.removeprefix("!")), f"git -c {name}")
    elif _CODE.match(name) and not _HARMLESS_VALUE.match(value):
        run.emit(GitLocal(verb="config-exec", detail=f"{name}={value}"[:120], words=run.words))
        if name not in ("include.path", "init.templatedir"):
            run.shell(Text(value.removeprefix("!")), f"git -c {name}")
