"""Programs that only look, or change nothing outside themselves. Files that they are given count as read."""

from __future__ import annotations

import re

from overnight.guard.effects import Infra
from overnight.guard.machine import Run, model
from overnight.guard.text import CLASS, ENDLESS, HOLE, LOCAL, QUESTION, STAR, Text

_WILD = (STAR, QUESTION, CLASS)
#: Processes that are not the agent's to end: looking them up is fine, ending what was found is not.
_SUPERVISORS = re.compile(r"overnight|claude|warden|sshd|systemd|dockerd|\$PPID")


@model("ls", "dir", "vdir", "exa", "eza", "lsd", "tree", "stat", "du", "df", "file", "realpath", "readlink", "locate", "lsattr",
       "getfacl", "namei", "ll", "la", "l", "mountpoint", "findmnt", "lsblk", "blkid", "mdfind", "mdls")  # fmt: skip
def listing(run: Run) -> Text | None:
    """Names and sizes, no contents."""
    for word in run.args:
        if not word.startswith("-"):
            run.read(word, listing=True)
    if run.name in ("realpath", "readlink") and run.args and not run.args[-1].startswith("-"):
        path = run.path(run.args[-1])
        return Text(path if HOLE not in path else HOLE)
    names = [word for word in run.args if not word.startswith("-")]
    flags = "".join(word[1:] for word in run.args if word.startswith("-") and not word.startswith("--"))
    patterns = all(any(char in word.rpartition("/")[2] for char in _WILD) for word in names)
    if run.name == "ls" and names and ("d" in flags or patterns) and not set(flags) & set("lRisonZ"):
        # A pattern prints the names that fit it; with -d a name prints itself.
        return Text("\n".join(names) + "\n", LOCAL)
    return Text(HOLE, LOCAL)


@model("date", "uname", "hostname", "whoami", "id", "groups", "nproc", "arch", "uptime", "tty", "logname", "hostnamectl", "sw_vers",
       "getconf", "seq", "uuidgen", "cal", "sleep", "usleep", "mktemp", "factor", "expr", "bc", "basename", "tput", "stty", "clear",
       "reset", "yes", "lscpu", "lsusb", "lspci", "free", "vmstat", "iostat", "who", "w", "last", "users", "locale", "timedatectl",
       "ps", "top", "htop", "btop", "pgrep", "pstree", "lsof", "fuser", "pidof", "ss", "netstat", "man", "info", "whatis", "apropos",
       "tldr", "help", "say", "cowsay", "figlet", "banner", "neofetch", "numfmt", "getent", "journalctl", "dmesg", "printlocale",
       "notify-send", "osascript-safe", "pbcopy", "pbpaste", "xclip", "xsel", "wl-copy", "shuf", "jobs", "finger", "lsmod", "modinfo",
       "sync", "tset", "fold-", "fc-list", "xdpyinfo", "glxinfo", "nvidia-smi", "inxi", "sensors", "acpi", "runlevel", "symbols",
       "codesign", "spctl", "sysdiagnose", "system_profiler", "vm_stat", "hash", "ldconfig-p", "loginctl-", "fastfetch")  # fmt: skip
def quiet(run: Run) -> Text | None:
    """What these print is known in kind, hardly ever in content."""
    if run.name == "basename" and run.args:
        word = run.args[-1] if len(run.args) == 1 else run.args[0]
        return Text(word.rpartition("/")[2] if HOLE not in word and not word.startswith("-") else STAR, word.taint)
    if run.name in ("pgrep", "pidof", "ps", "lsof", "fuser") and any(_SUPERVISORS.search(word) for word in run.args):
        run.m.hunts = True
    if run.name == "yes":
        return Text(HOLE, ENDLESS)
    if run.name == "ps" and any(re.fullmatch(r"[a-df-zA-Z]*e[a-zA-Z]*", word) for word in run.args):
        # BSD's `e` shows the environment of every process.
        run.emit(Infra(service="ps", verb="secret", detail="the environment of processes", words=run.words))
    if run.name == "mktemp":
        return Text(f"{run.m.bounds.tmp[0] if run.m.bounds.tmp else '/tmp'}/tmp.{run.m.number()}")  # noqa: S108
    if run.name in ("man", "whatis"):
        for place, word in enumerate(run.args[:-1]):
            if word in ("-P", "--pager"):
                run.shell(run.args[place + 1], "man -P")
    if run.name in ("fuser",) and {"-k", "--kill"} & set(run.args):
        from overnight.guard.effects import Kill

        run.emit(Kill(target="name", words=run.words))
    if run.name == "hostname" and [word for word in run.args if not word.startswith("-")]:
        from overnight.guard.effects import Privilege

        run.emit(Privilege(how="kernel", words=run.words))
    if run.name in ("date",) and {"-s", "--set"} & set(run.args):
        from overnight.guard.effects import Privilege

        run.emit(Privilege(how="kernel", words=run.words))
    if run.name == "journalctl" and any(word.startswith(("--vacuum", "--rotate", "--flush")) for word in run.args):
        from overnight.guard.effects import Delete

        run.emit(Delete(path="/var/log/journal", how="journalctl", words=run.words))
    if run.name == "dmesg" and {"-C", "--clear", "-c", "--read-clear"} & set(run.args):
        from overnight.guard.effects import Delete

        run.emit(Delete(path="/dev/kmsg", how="dmesg", words=run.words))
    return Text(STAR if run.name in ("date", "whoami", "nproc", "uname", "arch", "hostname", "id", "seq", "uuidgen", "getconf", "expr",
                                     "logname", "pgrep", "pidof") else HOLE, LOCAL)  # fmt: skip


@model("pwd")
def pwd(run: Run) -> Text | None:
    """The working folder is known."""
    return Text(run.state.cwd)


@model("dirname")
def dirname(run: Run) -> Text | None:
    """A path without its last part."""
    word = run.args[-1] if run.args else Text("")
    head = word.rpartition("/")[0]
    return Text(HOLE if HOLE in word else head or ("." if "/" not in word else "/"), word.taint)


@model("printenv")
def printenv(run: Run) -> Text | None:
    """One variable, or all of them."""
    from overnight.guard.text import SECRET, SHOWN

    names = [word for word in run.args if not word.startswith("-")]
    if not names:
        return Text(HOLE, SECRET)
    value = run.state.get(names[0])[0]
    return Text(value, value.taint | (SHOWN if value.taint & SECRET else 0))


__all__ = ["dirname", "listing", "printenv", "pwd", "quiet"]
