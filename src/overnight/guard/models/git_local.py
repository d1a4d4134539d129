"""git subcommands that change this repository: what they would lose."""

from __future__ import annotations

import re
from collections.abc import Callable

from overnight.guard.effects import Delete, Read, Write
from overnight.guard.machine import Run
from overnight.guard.models.git_tools import (
    apply_,
    bisect_,
    checkout_index_,
    config_,
    could_be,
    init_,
    lost,
    output_,
    read_tree_,
    repack_,
    submodule_,
)
from overnight.guard.options import options
from overnight.guard.paths import under
from overnight.guard.text import HOLE, SECRET, Text

Verb = Callable[[Run, list[Text]], Text | None]


def _reset(run: Run, args: list[Text]) -> Text | None:
    for mode in ("--hard", "--merge", "--keep"):
        if could_be(args, mode):
            lost(run, "discard", f"reset {mode}")
    if any(word == HOLE for word in args[:1]):
        run.unverifiable("what is reset is not known")
    return None


_CHECKOUT = (
    "-b",
    "-B",
    "--orphan",
    "--conflict",
    "--pathspec-from-file",
    "--inter-hunk-context",
    "-U",
    "--unified",
)


def _checkout(run: Run, args: list[Text]) -> Text | None:
    longs = ("--force", "--ours", "--theirs", "--detach", "--track", "--no-track", "--guess", "--no-guess", "--merge", "--patch", "--quiet",
             "--progress", "--no-progress", "--recurse-submodules", "--no-recurse-submodules", "--overlay", "--no-overlay", "--overwrite-ignore",
             "--ignore-other-worktrees", "--ignore-skip-worktree-bits", "--pathspec-file-nul")  # fmt: skip
    split = args.index(Text("--")) if "--" in args else len(args)
    found = options(args[:split], valued=_CHECKOUT, longs=longs)
    paths = list(args[split + 1 :])
    creates = found.has("-b", "-B", "--orphan")
    if (found.has("-f", "--force") and not creates) or found.has("-f", "--force"):
        lost(run, "discard", "checkout --force")
    elif found.has("-B"):
        lost(run, "branch-delete", "checkout -B")
    elif found.has("--pathspec-from-file") or paths or found.has("--ours", "--theirs", "-p", "--patch"):
        lost(run, "discard", "checkout of paths")
    elif not creates and not found.has("-t", "--track"):
        modes = ("on-demand", "checkout", "yes", "no", "true", "false")
        spare = 1 if found.has("--recurse-submodules") and found.operands[:1] and found.operands[0] in modes else 0
        operands = found.operands
        if (
            len(operands) > 1 + spare
            or any(word in (".", "./", ":/") or word.startswith((":(", "*")) for word in operands)
            or (
                len(operands) == 1
                and operands[0] != HOLE
                and "." in operands[0].rpartition("/")[2]
                and _is_file(run, operands[0])
            )
        ):
            lost(run, "discard", "checkout of paths")
    return None


def _is_file(run: Run, name: str) -> bool:
    if re.search(r"\.[a-z]{1,5}$", name):
        return True
    return run.m.world.read(run.path(name)) is not None


def _restore(run: Run, args: list[Text]) -> Text | None:
    staged = worktree = known = False
    split = args.index(Text("--")) if "--" in args else len(args)
    valued = ("-s", "--source", "--pathspec-from-file", "--conflict", "-U", "--unified", "--inter-hunk-context")
    longs = ("--staged", "--worktree", "--no-staged", "--no-worktree", "--patch", "--no-patch", "--quiet", "--ours", "--theirs", "--merge",
             "--overlay", "--no-overlay", "--progress", "--ignore-unmerged", "--recurse-submodules", "--pathspec-file-nul")  # fmt: skip
    words = args[:split]
    found = options(words, valued=valued, longs=longs)
    takes = False
    for word in words:
        if takes:
            takes = False
            continue
        takes = word in valued
        full = options([word], longs=longs).flags
        if "--staged" in full or (
            not word.startswith("--") and "S" in word[1:] and word.startswith("-") and not word.startswith(("-s", "-U"))
        ):
            staged = known = True
        if "--worktree" in full or (
            not word.startswith("--") and "W" in word[1:] and word.startswith("-") and not word.startswith(("-s", "-U"))
        ):
            worktree = known = True
        staged = staged and "--no-staged" not in full
        worktree = worktree and "--no-worktree" not in full
        known = known or bool({"--no-staged", "--no-worktree"} & full)
    paths = found.operands + args[split + 1 :] + found.all("--pathspec-from-file")
    patch = False
    for word in words:
        patch = (patch or word in ("-p", "--patch")) and word != "--no-patch"
    if (paths or patch) and (worktree or not known):
        lost(run, "discard", "restore")
    return None


def _switch(run: Run, args: list[Text]) -> Text | None:
    found = options(args, valued=("-c", "-C", "--create", "--force-create", "--orphan", "--conflict"), longs=("--discard-changes", "--force",
                    "--detach", "--guess", "--merge", "--track", "--quiet", "--recurse-submodules", "--ignore-other-worktrees"))  # fmt: skip
    if found.has("-f", "--force", "--discard-changes"):
        lost(run, "discard", "switch --force")
    if found.has("-C", "--force-create"):
        lost(run, "branch-delete", "switch -C")
    return None


def _clean(run: Run, args: list[Text]) -> Text | None:
    found = options(args, valued=("-e", "--exclude"), longs=("--force", "--dry-run", "--interactive", "--quiet"))
    if found.has("-n", "--dry-run"):
        return None
    if found.has("-f", "--force", "-i", "--interactive") or "f" in "".join(
        a[1:] for a in args if a.startswith("-") and not a.startswith("--")
    ):
        lost(run, "discard", "clean")
    return None


def _branch(run: Run, args: list[Text]) -> Text | None:
    longs = ("--delete", "--force", "--move", "--copy", "--list", "--remotes", "--all", "--merged", "--no-merged", "--contains", "--track",
             "--show-current", "--edit-description", "--unset-upstream", "--verbose", "--quiet", "--ignore-case", "--sort", "--column",
             "--color", "--abbrev", "--format", "--points-at", "--create-reflog", "--recurse-submodules", "--no-contains")  # fmt: skip
    found = options(args, valued=("-u", "--set-upstream-to", "--sort", "--format", "--points-at"), longs=longs)
    forced = found.has("-f", "--force")
    deletes = found.has("-d", "--delete")
    if found.has("-D") or (deletes and forced):
        lost(run, "branch-delete", " ".join(found.operands))
    elif (forced and found.operands) or found.has("-C") or (found.has("-M") and len(found.operands) != 1):
        lost(run, "branch-delete", "branch --force")
    return None


def _tag(run: Run, args: list[Text]) -> Text | None:
    longs = (
        "--delete",
        "--force",
        "--list",
        "--annotate",
        "--sign",
        "--message",
        "--verify",
        "--contains",
        "--points-at",
        "--sort",
        "--merged",
    )
    found = options(
        args,
        valued=("-m", "--message", "-F", "--file", "-u", "--local-user", "--sort", "--format", "--cleanup"),
        longs=longs,
    )
    if found.has("-d", "--delete") or (found.has("-f", "--force") and found.operands):
        lost(run, "tag-delete", " ".join(found.operands))
    return None


def _stash(run: Run, args: list[Text]) -> Text | None:
    if args[:1] in (["drop"], ["clear"]):
        lost(run, "stash-drop", args[0])
    return None


def _rm(run: Run, args: list[Text]) -> Text | None:
    forced = dry = cached = recursive = False
    operands: list[Text] = []
    for place, word in enumerate(args):
        if word == "--":
            operands += args[place + 1 :]
            break
        if not word.startswith("-"):
            operands.append(word)
            continue
        flags = options(
            [word],
            longs=("--force", "--no-force", "--dry-run", "--no-dry-run", "--cached", "--quiet", "--ignore-unmatch"),
        ).flags
        forced = (forced or bool(flags & {"-f", "--force"})) and "--no-force" not in flags
        dry = (dry or bool(flags & {"-n", "--dry-run"})) and "--no-dry-run" not in flags
        cached = cached or "--cached" in flags
        recursive = recursive or bool(flags & {"-r"})
    if dry or cached:
        return None
    if forced:
        lost(run, "discard", "rm --force")
    for name in operands:
        path = run.path(name)
        if recursive and (path == run.m.bounds.worktree or name in (".", "./", "*", ":/")):
            lost(run, "discard", "rm of everything")
        elif not under(path, run.m.bounds.worktree) and name.startswith(("/", "..")):
            run.emit(Delete(path=path, recursive=recursive, how="git rm", words=run.words))
    return None


def _mv(run: Run, args: list[Text]) -> Text | None:
    if options(args, longs=("--force", "--dry-run", "--verbose")).has("-f", "--force"):
        lost(run, "discard", "mv --force")
    return None


def _credential(run: Run, args: list[Text]) -> Text | None:
    del args
    run.emit(Read(path=run.m.bounds.home + "/.git-credentials", words=run.words))
    return Text(HOLE, SECRET)


def _worktree(run: Run, args: list[Text]) -> Text | None:
    verb = args[0] if args else ""
    found = options(
        args[1:],
        valued=("-b", "-B", "--reason", "--expire"),
        longs=("--force", "--detach", "--lock", "--dry-run", "--verbose"),
    )
    if verb == "remove" and found.has("-f", "--force"):
        lost(run, "worktree-force", "worktree remove --force")
    elif verb == "add" and found.operands:
        run.emit(Write(path=run.path(found.operands[0]), how="folder", words=run.words))
    return None


def _abort(run: Run, args: list[Text]) -> Text | None:
    if could_be(args, "--abort"):
        lost(run, "discard", f"{run.argv[1]} --abort")
    if run.argv[1] == "rebase":
        found = options(args, valued=("-x", "--exec", "--onto", "-s", "-X", "-C"), longs=("--interactive", "--root"))
        for code in found.all("-x", "--exec"):
            run.shell(code, "git rebase --exec")
    return _hooks(run, args)


def _hooks(run: Run, args: list[Text]) -> Text | None:
    if could_be(args, "--no-verify", ("--no-verify-signatures",)):
        lost(run, "hooks-skip", "--no-verify")
    return None


def _commit(run: Run, args: list[Text]) -> Text | None:
    found = options(args, valued=("-m", "--message", "-F", "--file", "-C", "-c", "-t", "--author", "--date", "--fixup", "--squash", "--cleanup",
                                  "--reuse-message", "--reedit-message", "--template", "--trailer", "--pathspec-from-file"))  # fmt: skip
    if found.has("-n"):
        lost(run, "hooks-skip", "commit -n")
    for name in found.all("-F", "--file"):
        run.read(name)
    return _hooks(run, [word for word in args if word.startswith("-")])


def _reflog(run: Run, args: list[Text]) -> Text | None:
    if args[:1] in (["expire"], ["delete"]) and "-n" not in args and "--dry-run" not in args:
        lost(run, "history", f"reflog {args[0]}")
    return None


def _update_index(run: Run, args: list[Text]) -> Text | None:
    if could_be(args, "--assume-unchanged") or could_be(args, "--skip-worktree"):
        lost(run, "hidden", " ".join(word for word in args if not word.startswith("-"))[:80])
    return None


def _prune(run: Run, args: list[Text]) -> Text | None:
    dry = options(args, longs=("--dry-run",)).has("-n", "--dry-run")
    if run.argv[1] == "gc":
        for word in args:
            name, _, value = word.partition("=")
            if (
                name == "--aggressive"
                or (name.startswith("--pr") and "--prune".startswith(name) and value in ("now", "all", "0"))
                or value == "now"
            ) and name != "--aggressive":
                lost(run, "history", "gc --prune=now")
        return None
    if (not dry and any(word.startswith("--e") for word in args)) or (run.argv[1] == "prune" and not dry):
        lost(run, "history", run.argv[1])
    return None


def _rewrites(run: Run, args: list[Text]) -> Text | None:
    if run.argv[1] == "update-ref" and not ({"-d", "--stdin"} & set(args)):
        lost(run, "history", "update-ref")
        return None
    found = options(args, valued=("--tree-filter", "--index-filter", "--msg-filter", "--env-filter", "--parent-filter", "--commit-filter",
                                  "--tag-name-filter", "--setup", "--subdirectory-filter", "-d"))  # fmt: skip
    for code in found.all(
        "--tree-filter", "--index-filter", "--msg-filter", "--env-filter", "--commit-filter", "--setup"
    ):
        run.shell(code, "git filter-branch")
    lost(run, "history", run.argv[1])
    return None


LOCAL_VERBS: dict[str, Verb] = {
    "reset": _reset, "checkout": _checkout, "restore": _restore, "switch": _switch, "clean": _clean, "branch": _branch, "tag": _tag,
    "stash": _stash, "rm": _rm, "worktree": _worktree, "mv": _mv, "credential": _credential, "credential-store": _credential, "credential-cache": _credential, "merge": _abort, "rebase": _abort, "cherry-pick": _abort, "revert": _abort,
    "am": _abort, "commit": _commit, "reflog": _reflog, "gc": _prune, "prune": _prune,
    "filter-branch": _rewrites, "filter-repo": _rewrites, "update-ref": _rewrites, "update-index": _update_index, "replace": _rewrites, "config": config_,
    "submodule": submodule_, "bisect": bisect_, "diff": output_, "log": output_, "show": output_, "archive": output_,
    "format-patch": output_, "grep": output_, "bundle": output_, "difftool": output_, "cat-file": output_, "hash-object": output_,
    "init": init_, "repack": repack_, "apply": apply_, "checkout-index": checkout_index_, "read-tree": read_tree_,
}  # fmt: skip
