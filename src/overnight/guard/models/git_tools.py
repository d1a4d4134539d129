"""git subcommands that configure, run programs or write elsewhere, and what all local ones share."""

from __future__ import annotations

from overnight.guard.effects import GitLocal, Write
from overnight.guard.machine import Run
from overnight.guard.options import ambiguous, options
from overnight.guard.text import Text


def lost(run: Run, verb: str, detail: str = "") -> None:
    """Emit that work or history would be lost."""
    run.emit(GitLocal(verb=verb, detail=detail, words=run.words))


def could_be(args: list[Text], full: str, others: tuple[str, ...] = ()) -> bool:
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


def config_(run: Run, args: list[Text]) -> Text | None:
    """Settings, and what they would run."""
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
        if name.startswith("alias."):
            run.m.aliases[name] = str(operands[1])
        setting(run, name, operands[1], "config")
    if found.has("--unset", "--unset-all") and operands[:1] and operands[0].lower() == "core.hookspath":
        lost(run, "hooks-skip", "config --unset core.hooksPath")
    if len(operands) >= 2 or found.has("--unset", "--unset-all", "--remove-section"):
        where = found.value("-f", "--file")
        if where is not None:
            run.write(where)
        elif found.has("--global", "--system"):
            run.emit(GitLocal(verb="config-global", detail=operands[0] if operands else "", words=run.words))
    return None


def submodule_(run: Run, args: list[Text]) -> Text | None:
    """Repositories within."""
    if args[:1] == ["foreach"]:
        code = [word for word in args[1:] if word not in ("--recursive", "--quiet", "-q")]
        run.shell(Text(" ".join(code)), "git submodule foreach")
    if args[:1] == ["update"] and {"-f", "--force"} & set(args):
        lost(run, "discard", "submodule update --force")
    if args[:1] == ["deinit"] and {"-f", "--force", "--all"} & set(args):
        lost(run, "discard", "submodule deinit --force")
    return None


def bisect_(run: Run, args: list[Text]) -> Text | None:
    """`bisect run` runs a command."""
    if args[:1] == ["run"]:
        run.exec(args[1:])
    return None


def output_(run: Run, args: list[Text]) -> Text | None:
    """Files that are written, programs that show."""
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


def init_(run: Run, args: list[Text]) -> Text | None:
    """A new repository."""
    found = options(
        args, valued=("-b", "--initial-branch", "--template", "--separate-git-dir", "--shared", "--object-format")
    )
    for name in found.all("--template"):
        run.emit(GitLocal(verb="config-exec", detail=f"--template={name}", words=run.words))
    for name in found.operands:
        run.emit(Write(path=run.path(name), how="folder", words=run.words))
    return None


def checkout_index_(run: Run, args: list[Text]) -> Text | None:
    """Files from the index."""
    if (
        "-f" in args
        or "--force" in args
        or any(word.startswith("-") and "f" in word and not word.startswith("--") for word in args)
    ):
        lost(run, "discard", run.argv[1])
    return None


def read_tree_(run: Run, args: list[Text]) -> Text | None:
    """The index and the work tree from a tree."""
    if "--reset" in args or "-u" in args:
        lost(run, "discard", "read-tree -u")
    return None


def repack_(run: Run, args: list[Text]) -> Text | None:
    """Objects that nothing names go."""
    if any(word.startswith(("--unpack-unreachable=", "--expire")) for word in args):
        lost(run, "history", "repack")
    return None


def apply_(run: Run, args: list[Text]) -> Text | None:
    """A patch; `--unsafe-paths` leaves the work tree."""
    if could_be(args, "--unsafe-paths"):
        run.unverifiable("git apply --unsafe-paths writes anywhere")
    return None
