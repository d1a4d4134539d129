"""git subcommands that talk to another repository."""

from __future__ import annotations

import re

from overnight.guard.effects import GitLocal, GitRemote, Net
from overnight.guard.machine import Run
from overnight.guard.models.git_local import Verb
from overnight.guard.options import options
from overnight.guard.text import HOLE, Text, shown

_PUSH = ("--all", "--mirror", "--tags", "--follow-tags", "--force", "--force-with-lease", "--force-if-includes", "--delete", "--prune", "--dry-run",
         "--no-verify", "--set-upstream", "--atomic", "--porcelain", "--quiet", "--verbose", "--progress", "--thin", "--signed", "--branches",
         "--no-force", "--no-force-with-lease", "--ipv4", "--ipv6", "--recurse-submodules", "--help")  # fmt: skip


def _push(run: Run, args: list[Text]) -> Text | None:
    found = options(args, valued=("-o", "--push-option", "--repo", "--receive-pack", "--exec"), longs=_PUSH)
    if found.has("-n", "--dry-run"):
        return None
    for code in found.all("--receive-pack", "--exec"):
        run.shell(code, "git push --receive-pack")
    if found.has("--no-verify"):
        run.emit(GitLocal(verb="hooks-skip", detail="push --no-verify", words=run.words))
    remote = found.value("--repo") or (found.operands[0] if found.operands else Text(""))
    specs = found.operands[1:]
    _helper(run, remote)
    refs = tuple(shown(spec.lstrip("+").rpartition(":")[2].removeprefix("refs/heads/")) for spec in specs)
    force = found.has("-f", "--force") or any(spec.startswith("+") for spec in specs)
    verb = "push"
    if found.has("--mirror", "--prune") or (force and found.has("--all", "--branches")):
        verb = "mirror"
    elif found.has("-d", "--delete") or any(re.match(r"\+?:.", spec) for spec in specs):
        verb = "delete"
    elif force:
        verb = "force"
    leased = found.has("--force-with-lease") and not force
    run.emit(
        GitRemote(
            verb="force" if leased and verb == "push" else verb,
            remote=shown(remote),
            refs=refs,
            lease=leased,
            words=run.words,
        )
    )
    return None


def _helper(run: Run, remote: str) -> None:
    if remote.startswith("ext::"):
        run.emit(GitLocal(verb="config-exec", detail=remote[:80], words=run.words))
        run.shell(Text(re.sub(r"%[sG]\S*", "", remote[5:])), "git ext::")
    elif remote.startswith("-"):
        run.unverifiable("a remote that looks like an option")


def _fetches(run: Run, args: list[Text]) -> Text | None:
    valued = ("-o", "--origin", "-b", "--branch", "-u", "--upload-pack", "--reference", "--depth", "-c", "--config", "--template", "-j", "--jobs",
              "--filter", "--separate-git-dir", "--refmap", "-s", "-X", "--shallow-since", "--server-option")  # fmt: skip
    found = options(args, valued=valued)
    for code in found.all("--upload-pack", "-u") if run.argv[1] == "clone" else found.all("--upload-pack"):
        run.shell(code, "git --upload-pack")
    for pair in found.all("-c", "--config"):
        from overnight.guard.models.git import setting

        name, _, value = pair.partition("=")
        setting(run, name.lower(), value, run.argv[1])
    for word in found.operands[:1]:
        _helper(run, word)
        match = re.match(r"(?:\w+://)?(?:[^@/]*@)?([\w.-]+\.[A-Za-z]{2,})[:/]", word)
        if match:
            run.emit(Net(host=match.group(1), words=run.words))
    if run.argv[1] == "clone":
        if len(found.operands) > 1:
            run.write(found.operands[1], how="folder")
        if found.has("--template"):
            run.emit(GitLocal(verb="config-exec", detail="clone --template", words=run.words))
    if run.argv[1] == "pull" and found.has("-f", "--force") and not found.operands:
        return None
    if run.argv[1] == "fetch" and any(
        spec.startswith("+") and ":" in spec and ":refs/remotes/" not in spec for spec in found.operands[1:]
    ):
        run.emit(GitLocal(verb="history", detail="forced fetch into a branch", words=run.words))
    return None


def _remote(run: Run, args: list[Text]) -> Text | None:
    if args[:1] in (["add"], ["set-url"]) and len(args) > 1:
        _helper(run, args[-1])
    if args[:1] in (["remove"], ["rm"]):
        run.emit(GitLocal(verb="config", detail="remote remove", words=run.words))
    return None


def _send(run: Run, args: list[Text]) -> Text | None:
    del args
    run.emit(Net(host="", how="write", sends="file", words=run.words))
    return Text(HOLE)


def _lfs(run: Run, args: list[Text]) -> Text | None:
    if args[:1] == ["push"]:
        run.emit(GitRemote(verb="push", words=run.words))
    if args[:1] == ["prune"]:
        run.emit(GitLocal(verb="history", detail="lfs prune", words=run.words))
    return None


REMOTE_VERBS: dict[str, Verb] = {
    "push": _push, "fetch": _fetches, "pull": _fetches, "clone": _fetches, "ls-remote": _fetches, "remote": _remote, "send-email": _send,
    "imap-send": _send, "send-pack": _push, "lfs": _lfs,
}  # fmt: skip
