"""Wrappers whose last words are the inner command: a table of their options, and a few with ways of their own."""

from __future__ import annotations

import re

from msgspec import Struct

from overnight.guard.effects import Infra, Persist
from overnight.guard.machine import Run, model
from overnight.guard.options import options
from overnight.guard.text import HOLE, Text


class Wrapper(Struct, frozen=True):
    """How to find the inner command."""

    #: Options that take the next word.
    valued: tuple[str, ...] = ()
    #: Operands before the command.
    skip: int = 0
    #: Words that must come first (`uv run`, `bundle exec`), any of them.
    verb: tuple[str, ...] = ()
    #: Options whose value is code for a shell.
    code: tuple[str, ...] = ()
    #: Options after which the program only shows something.
    shows: tuple[str, ...] = ("--help", "--version")


WRAPPERS: dict[str, Wrapper] = {
    "nohup": Wrapper(), "setsid": Wrapper(), "unbuffer": Wrapper(), "chronic": Wrapper(), "fakeroot": Wrapper(),
    "catchsegv": Wrapper(), "dbus-run-session": Wrapper(("--config-file", "--dbus-daemon")), "torsocks": Wrapper(),
    "proxychains": Wrapper(("-f",)), "proxychains4": Wrapper(("-f",)), "tsocks": Wrapper(), "eatmydata": Wrapper(),
    "timeout": Wrapper(("-k", "--kill-after", "-s", "--signal"), 1),
    "gtimeout": Wrapper(("-k", "--kill-after", "-s", "--signal"), 1),
    "nice": Wrapper(("-n", "--adjustment")), "ionice": Wrapper(("-c", "--class", "-n", "--classdata", "-p", "-P", "-u")),
    "time": Wrapper(("-f", "--format", "-o", "--output")), "gtime": Wrapper(("-f", "--format", "-o", "--output")),
    "stdbuf": Wrapper(("-i", "--input", "-o", "--output", "-e", "--error")), "chrt": Wrapper(("-T", "-P", "-D"), 1),
    "taskset": Wrapper((), 1), "prlimit": Wrapper(("-p", "--pid", "-o", "--output")), "cpulimit": Wrapper(("-l", "-p", "-e")),
    "unshare": Wrapper(("--map-user", "--map-group", "-S", "-G", "--setuid", "--setgid", "-R", "-w", "--root", "--wd")),
    "nsenter": Wrapper(("-t", "--target", "-S", "-G", "--wdns")), "chroot": Wrapper(("--userspec", "--groups"), 1),
    "strace": Wrapper(("-e", "-o", "-p", "-s", "-u", "-E", "-a", "-P", "-I", "-b", "-O", "-S", "-X")),
    "ltrace": Wrapper(("-e", "-o", "-p", "-s", "-u", "-a", "-n", "-l", "-x", "-F", "-A", "-D")),
    "valgrind": Wrapper(("--tool", "--log-file")), "rlwrap": Wrapper(("-f", "-H", "-s", "-C", "-P")),
    "setarch": Wrapper((), 1), "linux32": Wrapper(), "linux64": Wrapper(), "arch": Wrapper(("-e", "-d")),
    "caffeinate": Wrapper(("-t", "-w")), "xvfb-run": Wrapper(("-n", "-s", "-f", "-e", "-p", "-w", "--server-args", "--server-num")),
    "faketime": Wrapper(("-f",), 1), "firejail": Wrapper(), "proot": Wrapper(("-r", "-b", "-w", "-R", "-S")),
    "systemd-run": Wrapper(("-u", "--unit", "-p", "--property", "-E", "--setenv", "--slice", "-M", "--description", "--uid",
                            "--gid", "--nice", "--on-active", "--on-calendar", "-H", "--working-directory")),
    "systemd-inhibit": Wrapper(("--what", "--who", "--why", "--mode")), "start-stop-daemon": Wrapper(("--pidfile", "-p")),
    "setpriv": Wrapper(("--reuid", "--regid", "--groups", "--inh-caps", "--bounding-set")), "capsh": Wrapper(code=("-c",)),
    "numactl": Wrapper(("-C", "-m", "-N", "-i", "-p")), "perf": Wrapper(("-e", "-o", "-F"), 0, ("stat", "record", "trace")),
    "rtk": Wrapper(shows=("--help", "--version", "-h", "gain", "discover", "help")),
    "poetry": Wrapper((), 0, ("run",)), "pipenv": Wrapper((), 0, ("run",)), "pdm": Wrapper(("-p",), 0, ("run",)),
    "rye": Wrapper((), 0, ("run",)), "hatch": Wrapper(("-e",), 0, ("run",)), "bundle": Wrapper((), 0, ("exec", "e")),
    "rustup": Wrapper((), 1, ("run",)), "rbenv": Wrapper((), 0, ("exec",)), "pyenv": Wrapper((), 0, ("exec",)), "asdf": Wrapper((), 0, ("exec",)),
    "direnv": Wrapper((), 1, ("exec",)), "mise": Wrapper(("-C", "-j"), 0, ("exec", "x"), code=("-c", "--command")),
    "rtx": Wrapper((), 0, ("exec", "x"), code=("-c",)), "volta": Wrapper(("--node", "--npm"), 0, ("run",)),
    "doppler": Wrapper(("-p", "--project", "-c", "--config", "-t"), 0, ("run",), code=("--command",)),
    "op": Wrapper(("--env-file", "--account"), 0, ("run",)), "aws-vault": Wrapper(("-d", "--duration"), 1, ("exec",)),
    "dotenv": Wrapper(("-f", "--file", "-e"), 0, ()), "dotenvx": Wrapper(("-f",), 0, ("run",)), "infisical": Wrapper((), 0, ("run",)),
    "conda": Wrapper(("-n", "--name", "-p", "--prefix", "--cwd"), 0, ("run",)), "mamba": Wrapper(("-n", "-p"), 0, ("run",)),
    "nix": Wrapper(("--impure",), 0, (), code=("-c", "--command")), "nix-shell": Wrapper(("-p", "-I"), 99, (), code=("--run", "--command")),
    "cross-env": Wrapper(), "env-cmd": Wrapper(("-f",)), "coverage": Wrapper(("--rcfile", "--source", "--omit"), 0, ()),
    "nodemon": Wrapper(("-w", "--watch", "-e", "--ext", "-i"), 99, (), code=("-x", "--exec")), "ts": Wrapper(),
    "watchexec": Wrapper(("-w", "-e", "-i", "-f")), "entr": Wrapper(),
    "exec": Wrapper(("-a",)), "moreutils": Wrapper(), "noglob": Wrapper(), "nocorrect": Wrapper(), "tini": Wrapper(),
    "dumb-init": Wrapper(), "gosu": Wrapper((), 1), "su-exec": Wrapper((), 1), "ssh-agent": Wrapper(("-t", "-a")),
    "with-contenv": Wrapper(), "at-spi-bus-launcher": Wrapper(), "runcon": Wrapper((), 1),
    "softlimit": Wrapper(), "pgrep-run": Wrapper(), "kind-exec": Wrapper(), "trickle": Wrapper(("-d", "-u", "-s")),
    "sem": Wrapper(("-j", "--id", "--fg")), "foreman": Wrapper((), 0, ("run",)), "honcho": Wrapper((), 0, ("run",)),
}  # fmt: skip


def wrapped(run: Run) -> Text | None:
    """The inner command of a wrapper in the table."""
    from overnight.guard.models.unknown import unknown

    wrapper = WRAPPERS[run.name]
    args = run.args
    if args and args[0] in wrapper.shows:
        return Text(HOLE)
    if wrapper.verb:
        place = next((i for i, word in enumerate(args[:6]) if word in wrapper.verb), None)
        if place is None:
            return other_verbs(run) if run.name in _OTHERS else unknown(run)
        args = args[place + 1 :]
    found = options(args, valued=(*wrapper.valued, *wrapper.code), leading=True)
    for code in found.all(*wrapper.code):
        run.shell(code, run.name)
    rest = found.operands[wrapper.skip :]
    while rest and re.match(r"[A-Za-z_]\w*=", rest[0]):
        rest = rest[1:]
    if run.name in _KEEPERS and [word.rpartition("/")[2] for word in rest] in (["env"], ["printenv"]):
        run.emit(Infra(service=run.name, verb="secret", detail="the credentials that it hands on", words=run.words))
    return run.exec(rest) if rest else Text(HOLE)


#: Wrappers that put credentials into the environment of what they start.
_KEEPERS = frozenset({"aws-vault", "op", "doppler", "infisical", "dotenvx"})
_OTHERS = frozenset(
    {"poetry", "pipenv", "pdm", "rye", "hatch", "bundle", "conda", "mamba", "doppler", "op", "mise", "gdb", "rustup"}
)


def other_verbs(run: Run) -> Text | None:
    """The verbs of a wrapper that is more than a wrapper."""
    from overnight.guard.models.packages import manager
    from overnight.guard.models.services import service

    return service(run) if run.name in ("doppler", "op") else manager(run)


for _name in WRAPPERS:
    if _name not in ("exec",):
        model(_name)(wrapped)


@model("env", "genv")
def env(run: Run) -> Text | None:
    """`env [-i] [-u NAME] [-S STRING] [NAME=VALUE]... COMMAND`."""
    args = run.args
    state = run.state.copy()
    while args:
        word = args[0]
        if word in ("-S", "--split-string") and len(args) > 1:
            return _split_string(run, args[1], args[2:])
        if word.startswith(("-S", "--split-string=")):
            return _split_string(run, Text(word[2:] if word[1] == "S" else word.partition("=")[2]), args[1:])
        if re.match(r"-[iv0]*S", word):
            return _split_string(run, args[1] if len(args) > 1 else Text(""), args[2:])
        if word in ("-u", "--unset", "-C", "--chdir", "--block-signal", "-P") and len(args) > 1:
            if word in ("-C", "--chdir"):
                state.cwd = run.path(args[1])
            args = args[2:]
        elif word.startswith("--chdir="):
            state.cwd, args = run.path(word[8:]), args[1:]
        elif word == "--" or word.startswith("-"):
            args = args[1:]
        elif re.match(r"[^=]+=", word):
            name, _, value = word.partition("=")
            state.vars[name] = (Text(value, word.taint),)
            state.exported.add(name)
            args = args[1:]
        else:
            break
    if not args:
        from overnight.guard.text import SECRET

        return Text(HOLE, SECRET)
    inner = Run(run.m, state, args, run.stdin)
    return run.m.dispatch(inner)


def _split_string(run: Run, text: Text, rest: list[Text]) -> Text:
    words = text.replace("\\_", " ")
    return run.shell(Text("env " + words + " " + " ".join(rest), text.taint), "env -S")


@model("tmux", "screen", "byobu", "zellij", "dtach", "abduco", "daemonize", "detach")
def sessions(run: Run) -> Text | None:
    """Terminals that go on without us: what they are told to run is shell code."""
    valued = ("-s", "-n", "-t", "-c", "-F", "-f", "-L", "-S", "-x", "-y", "-e", "-T", "-p", "-h", "-A", "-l")
    args = run.args
    if run.name in ("tmux", "byobu", "zellij"):
        found = options(args, valued=("-f", "-L", "-S", "-c"), leading=True)
        for code in found.all("-c"):
            run.shell(code, run.name)
        inner = options(found.operands[1:], valued=valued, leading=True).operands
        verb = found.operands[0] if found.operands else ""
        if verb in ("send-keys", "send"):
            inner = [word for word in inner if word not in ("Enter", "C-m", "ENTER")]
        elif verb not in ("new-session", "new", "new-window", "neww", "split-window", "splitw", "run-shell", "run", "respawn-pane", "if-shell",
                          "respawn-window", "display-popup", "popup", "pipe-pane", "set-hook"):  # fmt: skip
            return Text(HOLE)
        if inner:
            run.shell(Text(" ".join(inner), run.taint), run.name)
        return Text(HOLE)
    found = options(args, valued=("-S", "-t", "-c", "-e", "-p", "-X", "-T", "-h", "-s"), leading=True)
    rest = found.operands[1:] if run.name in ("dtach", "abduco") else found.operands
    stuffed = found.value("-X")
    if stuffed == "stuff":
        run.shell(Text(" ".join(rest)), "screen")
    elif rest:
        run.exec(rest)
    return Text(HOLE)


@model("ld.so", "ld-linux-x86-64.so.2", "ld-linux.so.2", "ld-linux-aarch64.so.1", "ld-musl-x86_64.so.1")
def linker(run: Run) -> Text | None:
    """The dynamic linker starts the program that it is given."""
    found = options(run.args, valued=("--library-path", "--preload", "--audit", "--argv0"), leading=True)
    return run.exec(found.operands) if found.operands else Text(HOLE)


@model("watch", "viddy")
def watch(run: Run) -> Text | None:
    """Runs its words as shell code, again and again."""
    found = options(run.args, valued=("-n", "--interval", "-q", "--equexit", "-s"), leading=True)
    return run.shell(Text(" ".join(found.operands), run.taint), "watch") if found.operands else Text("")


@model("flock")
def flock(run: Run) -> Text | None:
    """A lock file, then a command or `-c CODE`."""
    valued = ("-w", "--timeout", "--wait", "-E", "--conflict-exit-code")
    found = options(run.args, valued=valued, leading=True)
    rest = found.operands[1:]
    if found.has("-u", "--unlock") and not rest:
        return Text("")
    if rest and rest[0] in ("-c", "--command"):
        return run.shell(Text(" ".join(rest[1:])), "flock -c")
    return run.exec(rest) if rest else Text("")


@model("script", "scriptreplay")
def script(run: Run) -> Text | None:
    """Records a terminal; `-c CODE` is what runs in it."""
    found = options(run.args, valued=("-c", "--command", "-E", "-I", "-O", "-B", "-T", "-m", "-o"))
    for code in found.all("-c", "--command"):
        run.shell(code, "script -c")
    if len(found.operands) > 1:
        run.exec(found.operands[1:])
    for name in found.operands[:1]:
        run.write(name)
    return Text(HOLE)


@model("hyperfine", "concurrently", "npm-run-all", "wait-on", "start-server-and-test")
def benches(run: Run) -> Text | None:
    """Every operand is shell code."""
    code = ("-p", "--prepare", "-s", "--setup", "-c", "--cleanup", "--conclude")
    found = options(
        run.args, valued=(*code, "-w", "-r", "-m", "-M", "-n", "-k", "--names", "--export-json", "-L", "-P")
    )
    for text in [*found.all(*code), *found.operands]:
        if " " in text or run.name == "hyperfine":
            run.shell(text, run.name)
    return Text(HOLE)


@model("at", "batch")
def at(run: Run) -> Text | None:
    """Code that runs later."""
    if run.args[:1] in (["-l"], ["-q"]):
        return Text(HOLE)
    if run.stdin is not None:
        run.shell(run.stdin, "at", stdin=Text(""))
    run.emit(Persist(kind="cron", path="at", words=run.words))
    return Text("")


@model("expect")
def expect(run: Run) -> Text | None:
    """`-c CODE` in Tcl, where spawn and exec start programs."""
    found = options(run.args, valued=("-c", "-f"))
    for code in found.all("-c"):
        for inner in re.findall(r"(?:spawn|exec|system)\s+([^;}\n]+)", code):
            run.shell(Text(inner), "expect")
    return Text(HOLE)
