"""rsync, scp, rclone and their like: copies between here and elsewhere."""

from __future__ import annotations

import re

from overnight.guard.effects import Delete, Infra, Net
from overnight.guard.machine import Run, model
from overnight.guard.options import options
from overnight.guard.text import HOLE, LOCAL, NETWORK, SECRET, Text, shown
from overnight.guard.unwrap.remote import local_place, ssh_options

_RSYNC = ("-e", "--rsh", "--rsync-path", "--files-from", "--exclude", "--include", "--exclude-from", "--include-from", "-f", "--filter", "-T",
          "--temp-dir", "--partial-dir", "--log-file", "--bwlimit", "--timeout", "--port", "--password-file", "--chmod", "--chown", "-B", "-M",
          "--backup-dir", "--suffix", "--compare-dest", "--link-dest", "--copy-dest", "--max-size", "--min-size", "--out-format", "--early-input")  # fmt: skip
_SHELL = re.compile(r"(?:/usr/bin/)?ssh\b(?:\s+-[-\w]+(?:[ =][^-\s]\S*)?)*\s*\Z")


@model("rsync", "grsync")
def rsync(run: Run) -> Text | None:
    """Sources, a destination; `--delete` empties what is not in the source."""
    longs = ("--delete", "--delete-excluded", "--delete-before", "--delete-after", "--delete-during", "--delete-delay", "--remove-source-files",
             "--archive", "--recursive", "--dry-run", "--list-only", "--verbose", "--compress", "--progress", "--inplace", "--del", "--daemon")  # fmt: skip
    found = options(run.args, valued=_RSYNC, longs=longs)
    if found.has("--help", "--version", "-n", "--dry-run", "--list-only"):
        return Text(HOLE)
    for code in [*found.all("-e", "--rsh"), *found.all("--rsync-path")]:
        if not _SHELL.match(code) or "ProxyCommand" in code:
            run.shell(code, "rsync -e")
    for name in found.all("--files-from", "--exclude-from", "--include-from", "--password-file"):
        run.read(name)
    if len(found.operands) < 2:
        return Text(HOLE)
    _copy(run, found.operands[:-1], found.operands[-1], recursive=True)
    target = found.operands[-1]
    if any(flag.startswith("--del") for flag in found.flags):
        if local_place(target):
            run.emit(Infra(service="rsync", verb="destroy", detail=f"--delete in {run.path(target)}", words=run.words))
            run.emit(Delete(path=run.path(target), recursive=True, how="rsync --delete", words=run.words))
        else:
            run.emit(Infra(service="rsync", verb="destroy", detail="--delete", words=run.words))
    if found.has("--remove-source-files"):
        for name in found.operands[:-1]:
            if local_place(name):
                run.delete(name, recursive=True, how="rsync --remove-source-files")
    return Text(HOLE)


def _copy(run: Run, sources: list[Text], target: Text, *, recursive: bool) -> None:
    taint = 0
    for name in sources:
        if local_place(name):
            taint |= run.read(name, recursive=recursive).taint | LOCAL
        else:
            taint |= NETWORK
            run.emit(Net(host=shown(name.partition(":")[0].rpartition("@")[2]), words=run.words))
    if local_place(target):
        run.write(target, Text(HOLE, taint))
        if len(sources) == 1:
            text = run.m.content(run.path(sources[0]), run.state)
            run.state.files[run.path(target)] = Text(text, taint)
    else:
        host = target.removeprefix("rsync://").partition(":")[0].rpartition("@")[2]
        run.emit(Net(host=shown(host), how="write", sends="secret" if taint & SECRET else "file", words=run.words))


@model(
    "scp",
    "sftp",
    "pscp",
    "lftp",
    "ftp",
    "tftp",
    "croc",
    "wormhole",
    "magic-wormhole",
    "ffsend",
    "transfer",
    "ngrok",
    "cloudflared",
    "localtunnel",
)
def scp(run: Run) -> Text | None:
    """Copies over ssh; the others send what they are told."""
    found = options(run.args, valued=("-F", "-i", "-J", "-l", "-o", "-P", "-S", "-D", "-X", "-c", "-b", "-e", "-u"))
    ssh_options(run, found.all("-o") if run.name in ("scp", "sftp") else [])
    for program in found.all("-S"):
        run.exec([program])
    if run.name in ("scp", "pscp") and len(found.operands) > 1:
        _copy(run, found.operands[:-1], found.operands[-1], recursive=found.has("-r"))
    elif run.name in ("lftp",):
        for code in found.all("-c", "-e"):
            for inner in re.findall(r"!\s*([^;]+)", code):
                run.shell(Text(inner), "lftp")
        run.emit(Net(host="", how="write", sends="file", words=run.words))
    elif run.name in ("ngrok", "cloudflared", "localtunnel"):
        if not {"--version", "version", "help", "--help"} & set(run.args):
            run.emit(Net(host="", how="listen", words=run.words))
    elif {"send", "upload", "put"} & set(run.args):
        run.emit(Net(host="", how="write", sends="file", words=run.words))
    return Text(HOLE, NETWORK)


@model("rclone", "gsutil", "s3cmd", "s5cmd", "mc", "aliyun", "azcopy", "b2", "swift-client")
def buckets(run: Run) -> Text | None:
    """Object storage."""
    found = options(run.args, valued=("--config", "-P-", "--profile"), leading=False)
    words = found.operands
    verb = words[0] if words else ""
    destroys = {"rm", "rb", "purge", "delete", "deletefile", "sync", "move", "moveto", "mv", "cleanup", "rmdir", "rmdirs", "del", "remove", "bisync",
                "dedupe", "mirror"}  # fmt: skip
    if found.has("--help", "-h", "--dry-run", "--dryrun"):
        return Text(HOLE)
    second = words[1] if len(words) > 1 else ""
    if verb == "mirror" or verb == "sync":
        risky = (verb == "sync" and run.name == "rclone") or found.has(
            "--remove", "--delete", "--delete-removed", "-d", "--delete-destination"
        )
    else:
        risky = verb in destroys or (
            verb in ("admin", "ilm", "web", "defacl")
            and second in ("user", "service", "policy", "group")
            and bool({"remove", "disable"} & set(words))
        )
    risky = risky or (verb == "rsync" and found.has("-d"))
    risky = risky or (verb not in ("ls", "cat") and second in ("remove", "rm", "delete", "clear"))
    if risky:
        run.emit(Infra(service=run.name, verb="destroy", detail=" ".join(run.words[1:4]), words=run.words))
    elif verb in ("copy", "copyto", "cp", "put", "rcat"):
        sources = [word for word in words[1:-1] if local_place(word) and "://" not in word]
        taint = 0
        for name in sources:
            taint |= run.read(name, recursive=True).taint | LOCAL
        if sources and words and (":" in words[-1] or "/" in words[-1]) and not local_place(words[-1]):
            run.emit(Net(host=run.name, how="write", sends="secret" if taint & SECRET else "file", words=run.words))
    return Text(HOLE, NETWORK)
