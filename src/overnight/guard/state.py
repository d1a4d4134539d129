"""What a shell knows at one point: variables with every value they may have, functions, folder, files, descriptors."""

from __future__ import annotations

import re

from overnight.guard.syntax import Command, Script
from overnight.guard.text import HOLE, SECRET, STAR, Text
from overnight.guard.world import Bounds

#: Values that one variable may have before it counts as unknown.
MOST = 8
#: Names of variables that hold secrets.
SECRET_NAME = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|SECRETS|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|APIKEY|PRIVATE_KEY|API_KEY|ACCESS_KEY"
    r"|AUTH_KEY|ENCRYPTION_KEY|SECRET_KEY)(?:_|$)|PASSWORD|_PAT$|^DATABASE_URL$",
    re.IGNORECASE,
)
Values = tuple[Text, ...]


class State:
    """Mutable; `copy` for a subshell, `merge` where two paths meet."""

    __slots__ = (
        "aliases",
        "arrays",
        "background",
        "calling",
        "cwd",
        "exported",
        "fds",
        "files",
        "funcs",
        "locals",
        "names",
        "positional",
        "sinks",
        "stdin",
        "vars",
    )  # fmt: skip

    def __init__(self, cwd: str) -> None:
        self.vars: dict[str, Values] = {}
        #: Arrays and maps: key (a number as text) -> value.
        self.arrays: dict[str, dict[str, Text]] = {}
        self.funcs: dict[str, tuple[Command, ...]] = {}
        self.aliases: dict[str, Text] = {}
        #: name -> name it refers to (declare -n).
        self.names: dict[str, str] = {}
        self.exported: set[str] = set()
        self.positional: list[Text] | None = None
        self.cwd = cwd
        #: What the shell wrote or made: path -> content.
        self.files: dict[str, Text] = {}
        #: Path of a `>(...)` or a coprocess -> what reads it.
        self.sinks: dict[str, Script] = {}
        #: Descriptor -> path, for those above 2 and for redirected ones.
        self.fds: dict[str, str] = {}
        self.stdin: Text | None = None
        self.background = False
        self.calling: tuple[Command, ...] = ()
        #: Names that the running function declared `local`.
        self.locals: set[str] = set()

    def copy(self) -> State:
        """A state of its own that starts equal."""
        new = State.__new__(State)
        new.vars, new.arrays = dict(self.vars), {k: dict(v) for k, v in self.arrays.items()}
        new.funcs, new.aliases, new.names = dict(self.funcs), dict(self.aliases), dict(self.names)
        new.exported, new.positional = set(self.exported), self.positional
        new.cwd, new.files, new.sinks, new.fds = self.cwd, self.files, self.sinks, dict(self.fds)
        new.stdin, new.background, new.calling = self.stdin, self.background, self.calling
        new.locals = self.locals
        return new

    def merge(self, other: State) -> None:
        """Either this or the other happened."""
        for name in {*self.vars, *other.vars}:
            mine, theirs = self.vars.get(name), other.vars.get(name)
            if mine != theirs:
                unset = (Text(HOLE),)
                self.vars[name] = union(mine or unset, theirs or unset)
        for name, values in other.arrays.items():
            mine = self.arrays.setdefault(name, values)
            if mine != values:
                self.arrays[name] = {key: Text(HOLE) for key in {*mine, *values}}
        for name, bodies in other.funcs.items():
            mine = self.funcs.get(name, ())
            self.funcs[name] = mine + tuple(body for body in bodies if body not in mine)
        self.aliases.update(other.aliases)
        self.names.update(other.names)
        self.exported |= other.exported
        self.fds.update(other.fds)
        if self.positional != other.positional:
            self.positional = [Text(HOLE)]
        if self.cwd != other.cwd:
            self.cwd = HOLE

    def merge_vars(self, other: State) -> None:
        """The variables of a pipeline's last command may stay (lastpipe) or not."""
        for name, values in other.vars.items():
            if self.vars.get(name) != values:
                self.vars[name] = union(values, self.vars.get(name, ()))
        self.arrays.update(other.arrays)

    def get(self, name: str) -> Values:
        """Every value the variable may have; a hole among them when one is not known."""
        for _ in range(8):
            if name not in self.names:
                break
            name = self.names[name]
        if name in self.vars:
            return self.vars[name]
        if name in self.arrays:
            return (self.arrays[name].get("0", Text("")),)
        return (Text(HOLE, SECRET if SECRET_NAME.search(name) else 0),)

    def set(self, name: str, values: Values) -> None:
        """Give the variable (or what it refers to) its possible values."""
        for _ in range(8):
            if name not in self.names:
                break
            name = self.names[name]
        if name in self.arrays and name not in self.vars:
            self.arrays[name]["0"] = values[0] if len(values) == 1 else Text(HOLE)
        else:
            self.vars[name] = union(values, ())


def union(left: Values, right: Values) -> Values:
    """Both sets of values, unknown when there are too many."""
    both = left + tuple(value for value in right if value not in left)
    if len(both) <= MOST:
        return both
    taint = 0
    for value in both:
        taint |= value.taint
    return (Text(HOLE, taint),)


def first_state(cwd: str, bounds: Bounds) -> State:
    """The state a tool call starts in."""
    state = State(cwd)
    given = {
        "HOME": bounds.home, "PWD": cwd, "TMPDIR": bounds.tmp[0] if bounds.tmp else HOLE, "SHELL": "/bin/bash",
        "BASH": "/bin/bash", "IFS": " \t\n", "USER": STAR, "LOGNAME": STAR, "UID": "1000", "EUID": "1000", "PPID": "4000",
        "RANDOM": STAR, "SECONDS": STAR, "LINENO": STAR, "HOSTNAME": STAR, "OSTYPE": "linux-gnu", "BASH_VERSION": STAR,
        "OLDPWD": cwd, "EPOCHSECONDS": STAR, "XDG_RUNTIME_DIR": "/run/user/1000", "CLAUDE_PROJECT_DIR": bounds.worktree,
    }  # fmt: skip
    state.vars = {name: (Text(value),) for name, value in given.items()}
    return state
