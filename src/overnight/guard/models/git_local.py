"""git subcommands that change this repository: what they would lose."""

from __future__ import annotations

import re
from collections.abc import Callable

from overnight.guard.effects import Delete, GitLocal, Read, Write
from overnight.guard.machine import Run
from overnight.guard.options import ambiguous, options
from overnight.guard.paths import under
from overnight.guard.text import HOLE, SECRET, Text

Verb = Callable[[Run, list[Text]], Text | None]


def _lost(run: Run, verb: str, detail: str = "") -> None:
    run.emit(GitLocal(verb=verb, detail=detail, words=run.words))


def _could_be(args: list[Text], full: str, others: tuple[str, ...] = ()) -> bool:
    """True when an argument before `--` is the option or an abbreviation of it that git would take."""
    for word in args:
        if word == "--":
            return False
        name = word.partition("=")[0]
        if name == full or (
            len(name) > 2
            and name.startswith("--")
            and full.startswith(name)
            and full in ambiguous(name, (full, *others))
        ):
            return True
    return False


def _reset(run: Run, args: list[Text]) -> Text | None:
    for mode in ("--hard", "--merge", "--keep"):
        if _could_be(args, mode):
            _lost(run, "discard", f"reset {mode}")
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
        _lost(run, "discard", "checkout --force")
    elif found.has("-B"):
        _lost(run, "branch-delete", "checkout -B")
    elif found.has("--pathspec-from-file") or paths or found.has("--ours", "--theirs", "-p", "--patch"):
        _lost(run, "discard", "checkout of paths")
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
            _lost(run, "discard", "checkout of paths")
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
        _lost(run, "discard", "restore")
    return None


def _switch(run: Run, args: list[Text]) -> Text | None:
    found = options(args, valued=("-c", "-C", "--create", "--force-create", "--orphan", "--conflict"), longs=("--discard-changes", "--force",
                    "--detach", "--guess", "--merge", "--track", "--quiet", "--recurse-submodules", "--ignore-other-worktrees"))  # fmt: skip
    if found.has("-f", "--force", "--discard-changes"):
        _lost(run, "discard", "switch --force")
    if found.has("-C", "--force-create"):
        _lost(run, "branch-delete", "switch -C")
    return None


def _clean(run: Run, args: list[Text]) -> Text | None:
    found = options(args, valued=("-e", "--exclude"), longs=("--force", "--dry-run", "--interactive", "--quiet"))
    if found.has("-n", "--dry-run"):
        return None
    if found.has("-f", "--force", "-i", "--interactive") or "f" in "".join(
        a[1:] for a in args if a.startswith("-") and not a.startswith("--")
    ):
        _lost(run, "discard", "clean")
    return None


def _branch(run: Run, args: list[Text]) -> Text | None:
    longs = ("--delete", "--force", "--move", "--copy", "--list", "--remotes", "--all", "--merged", "--no-merged", "--contains", "--track",
             "--show-current", "--edit-description", "--unset-upstream", "--verbose", "--quiet", "--ignore-case", "--sort", "--column",
             "--color", "--abbrev", "--format", "--points-at", "--create-reflog", "--recurse-submodules", "--no-contains")  # fmt: skip
    found = options(args, valued=("-u", "--set-upstream-to", "--sort", "--format", "--points-at"), longs=longs)
    forced = found.has("-f", "--force")
    deletes = found.has("-d", "--delete")
    if found.has("-D") or (deletes and forced):
        _lost(run, "branch-delete", " ".join(found.operands))
    elif (forced and found.operands) or found.has("-C") or (found.has("-M") and len(found.operands) != 1):
        _lost(run, "branch-delete", "branch --force")
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
        _lost(run, "tag-delete", " ".join(found.operands))
    return None


def _stash(run: Run, args: list[Text]) -> Text | None:
    if args[:1] in (["drop"], ["clear"]):
        _lost(run, "stash-drop", args[0])
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
        _lost(run, "discard", "rm --force")
    for name in operands:
        path = run.path(name)
        if recursive and (path == run.m.bounds.worktree or name in (".", "./", "*", ":/")):
            _lost(run, "discard", "rm of everything")
        elif not under(path, run.m.bounds.worktree) and name.startswith(("/", "..")):
            run.emit(Delete(path=path, recursive=recursive, how="git rm", words=run.words))
    return None


def _mv(run: Run, args: list[Text]) -> Text | None:
    if options(args, longs=("--force", "--dry-run", "--verbose")).has("-f", "--force"):
        _lost(run, "discard", "mv --force")
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
        _lost(run, "worktree-force", "worktree remove --force")
    elif verb == "add" and found.operands:
        run.emit(Write(path=run.path(found.operands[0]), how="folder", words=run.words))
    return None


def _abort(run: Run, args: list[Text]) -> Text | None:
    if _could_be(args, "--abort"):
        _lost(run, "discard", f"{run.argv[1]} --abort")
    if run.argv[1] == "rebase":
        found = options(args, valued=("-x", "--exec", "--onto", "-s", "-X", "-C"), longs=("--interactive", "--root"))
        for code in found.all("-x", "--exec"):
            run.shell(code, "git rebase --exec")
    return _hooks(run, args)


def _hooks(run: Run, args: list[Text]) -> Text | None:
    if _could_be(args, "--no-verify", ("--no-verify-signatures",)):
        _lost(run, "hooks-skip", "--no-verify")
    return None


def _commit(run: Run, args: list[Text]) -> Text | None:
    found = options(args, valued=("-m", "--message", "-F", "--file", "-C", "-c", "-t", "--author", "--date", "--fixup", "--squash", "--cleanup",
                                  "--reuse-message", "--reedit-message", "--template", "--trailer", "--pathspec-from-file"))  # fmt: skip
    if found.has("-n"):
        _lost(run, "hooks-skip", "commit -n")
    for name in found.all("-F", "--file"):
        run.read(name)
    return _hooks(run, [word for word in args if word.startswith("-")])


def _reflog(run: Run, args: list[Text]) -> Text | None:
    if args[:1] in (["expire"], ["delete"]) and "-n" not in args and "--dry-run" not in args:
        _lost(run, "history", f"reflog {args[0]}")
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
                _lost(run, "history", "gc --prune=now")
        return None
    if (not dry and any(word.startswith("--e") for word in args)) or (run.argv[1] == "prune" and not dry):
        _lost(run, "history", run.argv[1])
    return None


def _rewrites(run: Run, args: list[Text]) -> Text | None:
    if run.argv[1] == "update-ref" and not ({"-d", "--stdin"} & set(args)):
        _lost(run, "history", "update-ref")
        return None
    found = options(args, valued=("--tree-filter", "--index-filter", "--msg-filter", "--env-filter", "--parent-filter", "--commit-filter",
                                  "--tag-name-filter", "--setup", "--subdirectory-filter", "-d"))  # fmt: skip
    for code in found.all(
        "--tree-filter", "--index-filter", "--msg-filter", "--env-filter", "--commit-filter", "--setup"
    ):
        run.shell(code, "git filter-branch")
    _lost(run, "history", run.argv[1])
    return None


def _config(run: Run, args: list[Text]) -> Text | None:
    from overnight.guard.models.git import setting

    found = options(args, valued=("-f", "--file", "--blob", "--type", "--default", "--value", "--comment"), longs=("--global", "--system",
                    "--local", "--worktree", "--get", "--get-all", "--get-regexp", "--list", "--unset", "--unset-all", "--replace-all", "--add",
                    "--remove-section", "--rename-section", "--edit", "--show-origin", "--name-only", "--get-urlmatch", "--bool", "--int"))  # fmt: skip
    operands = found.operands
    if operands[:1] in (["get"], ["list"], ["edit"]) or found.has(
        "--get", "--get-all", "--get-regexp", "--list", "-l", "--get-urlmatch"
    ):
        return None
    if operands[:1] in (["set"], ["unset"], ["remove-section"], ["rename-section"]):
        operands = operands[1:]
    if len(operands) >= 2 and not found.has("--unset", "--unset-all"):
        name = operands[0].lower()
        if name.startswith("alias.") and operands[1].startswith("!"):
            run.shell(Text(operands[1][1:]), "git alias")
            run.emit(GitLocal(verb="config-exec", detail=name, words=run.words))
        setting(run, name, operands[1], "config")
    if found.has("--unset", "--unset-all") and operands[:1] and operands[0].lower() == "core.hookspath":
        _lost(run, "hooks-skip", "config --unset core.hooksPath")
    if len(operands) >= 2 or found.has("--unset", "--unset-all", "--remove-section"):
        where = found.value("-f", "--file")
        if where is not None:
            run.write(where)
        elif found.has("--global", "--system"):
            run.emit(GitLocal(verb="config-global", detail=operands[0] if operands else "", words=run.words))
    return None


def _submodule(run: Run, args: list[Text]) -> Text | None:
    if args[:1] == ["foreach"]:
        code = [word for word in args[1:] if word not in ("--recursive", "--quiet", "-q")]
        run.shell(Text(" ".join(code)), "git submodule foreach")
    if args[:1] == ["update"] and {"-f", "--force"} & set(args):
        _lost(run, "discard", "submodule update --force")
    if args[:1] == ["deinit"] and {"-f", "--force", "--all"} & set(args):
        _lost(run, "discard", "submodule deinit --force")
    return None


def _bisect(run: Run, args: list[Text]) -> Text | None:
    if args[:1] == ["run"]:
        run.exec(args[1:])
    return None


def _output(run: Run, args: list[Text]) -> Text | None:
    found = options(args, valued=("-o", "--output", "--output-directory", "-O", "--open-files-in-pager", "--remote", "--exec", "--format", "-G", "-S",
                                  "-U", "-n", "-L", "--grep", "--author", "--since", "--until", "--after", "--before", "--prefix"))  # fmt: skip
    for name in found.all("-o", "--output", "--output-directory"):
        run.write(name)
    if run.argv[1] == "bundle" and args[:1] == ["create"] and len(args) > 1 and args[1] != "-":
        run.write(args[1])
    if run.argv[1] == "grep" and (code := found.value("-O", "--open-files-in-pager")) is not None:
        run.shell(Text(code + " file"), "git grep -O")
    if run.argv[1] == "difftool" and (code := options(args, valued=("-x", "--extcmd")).value("-x", "--extcmd")):
        run.shell(code, "git difftool -x")
    if (run.argv[1] in ("diff", "show", "archive", "grep") and "--no-index" in args) or run.argv[1] == "hash-object":
        for name in found.operands:
            run.read(name)
    if run.argv[1] in ("show", "cat-file"):
        for name in found.operands:
            path = name.partition(":")[2]
            if path and run.m.secret(run.path(path)):
                run.read(path)
    return None


def _init(run: Run, args: list[Text]) -> Text | None:
    found = options(
        args, valued=("-b", "--initial-branch", "--template", "--separate-git-dir", "--shared", "--object-format")
    )
    for name in found.all("--template"):
        run.emit(GitLocal(verb="config-exec", detail=f"--template={name}", words=run.words))
    for name in found.operands:
        run.emit(Write(path=run.path(name), how="folder", words=run.words))
    return None


def _checkout_index(run: Run, args: list[Text]) -> Text | None:
    if (
        "-f" in args
        or "--force" in args
        or any(word.startswith("-") and "f" in word and not word.startswith("--") for word in args)
    ):
        _lost(run, "discard", run.argv[1])
    return None


def _read_tree(run: Run, args: list[Text]) -> Text | None:
    if "--reset" in args or "-u" in args:
        _lost(run, "discard", "read-tree -u")
    return None


def _repack(run: Run, args: list[Text]) -> Text | None:
    if any(word.startswith(("--unpack-unreachable=", "--expire")) for word in args):
        _lost(run, "history", "repack")
    return None


def _apply(run: Run, args: list[Text]) -> Text | None:
    if _could_be(args, "--unsafe-paths"):
        run.unverifiable("git apply --unsafe-paths writes anywhere")
    return None


LOCAL_VERBS: dict[str, Verb] = {
    "reset": _reset, "checkout": _checkout, "restore": _restore, "switch": _switch, "clean": _clean, "branch": _branch, "tag": _tag,
    "stash": _stash, "rm": _rm, "worktree": _worktree, "mv": _mv, "credential": _credential, "credential-store": _credential, "credential-cache": _credential, "merge": _abort, "rebase": _abort, "cherry-pick": _abort, "revert": _abort,
    "am": _abort, "commit": _commit, "reflog": _reflog, "gc": _prune, "prune": _prune,
    "filter-branch": _rewrites, "filter-repo": _rewrites, "update-ref": _rewrites, "replace": _rewrites, "config": _config,
    "submodule": _submodule, "bisect": _bisect, "diff": _output, "log": _output, "show": _output, "archive": _output,
    "format-patch": _output, "grep": _output, "bundle": _output, "difftool": _output, "cat-file": _output, "hash-object": _output,
    "init": _init, "repack": _repack, "apply": _apply, "checkout-index": _checkout_index, "read-tree": _read_tree,
}  # fmt: skip
