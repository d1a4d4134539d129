"""ssh and its like: a command on another machine, and options that run one here."""

from __future__ import annotations

import re

from overnight.guard.effects import Net
from overnight.guard.machine import Run, model
from overnight.guard.options import options
from overnight.guard.text import HOLE, LOCAL, NETWORK, SECRET, Text, shown

_SSH = (
    "-b",
    "-B",
    "-c",
    "-D",
    "-E",
    "-e",
    "-F",
    "-I",
    "-i",
    "-J",
    "-L",
    "-l",
    "-m",
    "-O",
    "-o",
    "-p",
    "-Q",
    "-R",
    "-S",
    "-W",
    "-w",
)
_RUNS = re.compile(
    r"\s*(ProxyCommand|LocalCommand|KnownHostsCommand|Match\s+exec)\s*[= ]\s*(.*)", re.IGNORECASE | re.DOTALL
)


def ssh_options(run: Run, values: list[Text]) -> None:
    """`-o ProxyCommand=...` and its like run code here."""
    for value in values:
        found = _RUNS.match(value)
        if found and found.group(2).strip().lower() != "none":
            run.shell(Text(found.group(2).strip(" \"'"), value.taint), "ssh -o")


@model("ssh", "autossh", "mosh", "slogin", "sshpass")
def ssh(run: Run) -> Text | None:
    """A command on another host. What it would do there is judged as if it were here."""
    args = run.args
    if run.name == "sshpass":
        found = options(args, valued=("-p", "-f", "-d"), leading=True)
        return run.exec(found.operands)
    found = options(args, valued=_SSH, leading=True)
    ssh_options(run, found.all("-o"))
    if found.has("-V", "-G", "-Q") or not found.operands:
        return Text(HOLE)
    host = found.operands[0].rpartition("@")[2]
    # Options may follow the host.
    after = options(found.operands[1:], valued=_SSH, leading=True)
    ssh_options(run, after.all("-o"))
    command = after.operands
    taint = run.stdin.taint if run.stdin is not None else 0
    sends = "secret" if taint & SECRET else "file" if taint & LOCAL else "none"
    run.emit(Net(host=shown(host), how="shell", sends=sends, words=run.words))
    if command:
        run.shell(Text(" ".join(command), run.taint & ~taint), "ssh", stdin=Text(""))
    elif run.stdin is not None and not taint & (LOCAL | SECRET):
        run.shell(run.stdin, "ssh", stdin=Text(""))
    return Text(HOLE, NETWORK)


@model("ssh-keygen")
def ssh_keygen(run: Run) -> Text | None:
    """Keys are made, shown or forgotten."""
    found = options(
        run.args,
        valued=("-b", "-C", "-f", "-N", "-P", "-t", "-R", "-F", "-E", "-m", "-O", "-s", "-I", "-Y", "-n", "-D"),
    )
    if found.has("-R"):
        run.write(Text(run.m.bounds.home + "/.ssh/known_hosts"))
    elif not found.has("-l", "-F", "-y", "-B", "-L", "-Q", "-e") and not found.has("-Y"):
        run.write(found.value("-f") or Text(run.m.bounds.home + "/.ssh/id_ed25519"))
    if found.has("-y") and (name := found.value("-f")):
        run.read(name)
    if found.has("-D"):
        run.opaque("opaque")
    return Text(HOLE)


@model("ssh-add", "ssh-copy-id")
def ssh_add(run: Run) -> Text | None:
    """Keys go to an agent or to another host."""
    if run.name == "ssh-copy-id":
        run.emit(Net(host="", how="shell", sends="file", words=run.words))
    return Text(HOLE)


def local_place(name: str) -> bool:
    """True for a path of this machine in scp's and rsync's terms."""
    head = name.partition("/")[0]
    return ":" not in head or head.startswith(".")
