"""What interpretation stands on: facts that came in, effects that were found, one budget for all of it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence

from msgspec import Struct

from overnight.guard.effects import AnyEffect, Delete, Exec, Read, Unverifiable, Write
from overnight.guard.ledger import Ledger
from overnight.guard.paths import HARMLESS, absolute, matches, personal_secret, resolved
from overnight.guard.policy import NOT_SECRETS, SECRETS
from overnight.guard.scanner import SyntaxProblem
from overnight.guard.state import State
from overnight.guard.syntax import Script
from overnight.guard.text import HOLE, INPUT, LOCAL, NETWORK, RESERVED, SECRET, Text, known, shown, taint_of
from overnight.guard.world import Bounds, World

_HARMLESS_DEV = re.compile(r"/dev/(?:fd/|pts/|std)")


class Budget(Struct, frozen=True, kw_only=True):
    """How much one decision may look at. What does not fit is denied, never skipped."""

    #: Commands, wrappers and loops included.
    steps: int = 3000
    #: Wrappers within wrappers.
    depth: int = 30
    #: Characters of code parsed, wrappers included.
    characters: int = 600_000


class Machine:
    """The state of one decision. Interpretation adds effects; nothing is ever taken away."""

    def __init__(
        self, bounds: Bounds, world: World, ledger: Ledger, secrets: tuple[str, ...] = (), budget: Budget | None = None
    ) -> None:
        self.bounds = bounds
        self.world = world
        self.ledger = ledger
        self.budget = budget or Budget()
        self.effects: list[AnyEffect] = []
        self._seen: set[AnyEffect] = set()
        self._secrets = SECRETS + secrets
        self.steps = 0
        self.characters = 0
        self.depth = 0
        self.fresh = 0
        #: Folders that something from elsewhere was unpacked into -> its taint.
        self.extracted: dict[str, int] = {}
        #: Links that the call makes: path -> what it stands for.
        self.links: dict[str, str] = {}
        #: Aliases of git that the call sets: `alias.x` -> what it stands for.
        self.aliases: dict[str, str] = {}
        #: Other names that the call gives to files: path -> the path it was.
        self.programs: dict[str, str] = {}
        #: Code that runs when a shell ends, with the state that it will see.
        self.traps: list[tuple[Text, State]] = []
        #: True once processes of the supervisor, the agent or the machine were looked up.
        self.hunts = False
        #: Names of what the call writes: path -> content, for the ledger.
        self.written: dict[str, Text] = {}
        #: Set by the interpreter: runs an argv, runs code.
        self.dispatch: Callable[[Run], Text]
        self.code: Callable[[str, State, str], Text]
        self.script: Callable[[Script, State], Text]

    def emit(self, effect: AnyEffect) -> None:
        """Add an effect once."""
        if effect not in self._seen:
            self._seen.add(effect)
            self.effects.append(effect)

    def step(self) -> None:
        """Spend one step. Raises SyntaxProblem when none is left."""
        self.steps += 1
        if self.steps > self.budget.steps:
            raise SyntaxProblem("the command does more than can be checked")

    def parsing(self, text: str) -> None:
        """Spend budget for a text about to be parsed. Raises SyntaxProblem when none is left."""
        self.characters += len(text)
        if self.characters > self.budget.characters:
            raise SyntaxProblem("the command holds more code than can be checked")
        if self.depth > self.budget.depth:
            raise SyntaxProblem("wrappers nest deeper than can be checked")

    def number(self) -> int:
        """A number that was not given yet, for made-up names."""
        self.fresh += 1
        return self.fresh

    def secret(self, path: str) -> bool:
        """True when the path is one that holds secrets."""
        found = matches(path, self._secrets, self.bounds.worktree) or personal_secret(path, self.bounds)
        return found and not matches(path, NOT_SECRETS)

    def content(self, path: str, state: State) -> Text:
        """What a file holds, as far as it is known; taint says where it came from."""
        for place in (path, resolved(path, self.world)):
            if place in state.files:
                return state.files[place]
            if place in self.ledger.files:
                kept = self.ledger.files[place]
                return Text(kept.text if kept.text is not None else HOLE, kept.taint | LOCAL)
        for folder, more in self.extracted.items():
            if path.startswith(folder.rstrip("/") + "/"):
                return Text(HOLE, LOCAL | more)
        taint = LOCAL | (SECRET if self.secret(path) else 0)
        text = self.world.read(path) if known(path) else None
        if text is None or any(char in text for char in RESERVED):
            return Text(HOLE, taint)
        return Text(text, taint)


class Run:
    """One command about to run: its words, its input, and what a model may do with them."""

    __slots__ = ("argv", "m", "state", "stdin")

    def __init__(self, m: Machine, state: State, argv: Sequence[Text], stdin: Text | None) -> None:
        self.m = m
        self.state = state
        self.argv = list(argv)
        self.stdin = stdin

    @property
    def name(self) -> str:
        """The program's name without folder and version."""
        return self.argv[0].rpartition("/")[2]

    @property
    def args(self) -> list[Text]:
        """Everything after the name."""
        return self.argv[1:]

    @property
    def words(self) -> tuple[str, ...]:
        """The command for a person, not longer than it helps."""
        return tuple(shown(word)[:120] for word in self.argv[:12])

    @property
    def taint(self) -> int:
        """Taint of input and arguments together."""
        taint = taint_of(self.stdin) if self.stdin is not None else 0
        for word in self.argv:
            taint |= word.taint
        return taint

    def emit(self, effect: AnyEffect) -> None:
        """Add an effect of this command."""
        self.m.emit(effect)

    def path(self, name: str) -> str:
        """Absolute path of a name given to this command."""
        if name.startswith("file://"):
            name = name[7:]
        if re.match(r"[A-Za-z]:[\\/]", name):
            # A drive of Windows is nowhere in the work tree.
            name = "/" + name.replace("\\", "/")
        return absolute(name, self.state.cwd)

    # -- files

    def followed(self, name: str) -> str:
        """Absolute path with the links of this call followed."""
        path = self.path(name)
        for _ in range(8):
            for link, target in self.m.links.items():
                if path == link or path.startswith(link + "/"):
                    path = target + path[len(link) :]
                    break
            else:
                break
        return path

    def read(self, name: str, *, listing: bool = False, certain: bool = True, recursive: bool = False) -> Text:
        """A file is read; returns its content."""
        path = self.followed(name)
        if path.endswith(".pid") and re.search(r"overnight|warden|claude|sshd|systemd", path):
            self.m.hunts = True
        if path == "/dev/null":
            return Text("")
        if path in HARMLESS or (_HARMLESS_DEV.match(path) and path not in self.state.files):
            return self.stdin or Text(HOLE)
        self.emit(Read(path=path, listing=listing, certain=certain, recursive=recursive, words=self.words))
        if listing:
            return Text(HOLE, LOCAL)
        return self.m.content(path, self.state)

    def write(self, name: str, text: Text | None = None, *, how: str = "write", certain: bool = True) -> None:
        """A file is written with `text`, or with what is not known."""
        path = self.followed(name)
        if path in HARMLESS:
            return
        value = text if text is not None else Text(HOLE)
        if path in self.state.sinks:
            self.feed(path, value)
            return
        taint = taint_of(value)
        content = str(value) if known(value) else None
        self.emit(Write(path=path, text=content, taint=taint, how=how, certain=certain, words=self.words))
        if how == "extract" and taint & (NETWORK | INPUT):
            self.m.extracted[path] = taint
        if how == "write" and certain:
            old = self.state.files.get(path)
            kept = Text(value, taint | (old.taint if old is not None else 0))
            self.state.files[path] = kept
            self.m.written[path] = kept

    def feed(self, path: str, text: Text) -> None:
        """Text goes into a process that reads it."""
        state = self.state.copy()
        state.stdin = text
        self.m.script(state.sinks[path], state)

    def delete(self, name: str, *, recursive: bool = False, how: str = "rm") -> None:
        """A file or folder goes away."""
        # `rm -rf link/` goes through the link, `rm link` removes it.
        path = self.followed(name) if name.endswith("/") else self.path(name)
        self.emit(Delete(path=path, recursive=recursive, how=how, words=self.words))
        if name == "~" or name.startswith("~/"):
            # Bash would not expand it here, but another shell that gets the same words may.
            self.emit(Delete(path=self.m.bounds.home + name[1:], recursive=recursive, how=how, words=self.words))

    # -- code

    def exec(self, argv: Sequence[str], stdin: Text | None = None) -> Text:
        """Another command runs in this one's place."""
        if not argv:
            return Text("")
        words = [word if isinstance(word, Text) else Text(word) for word in argv]
        return self.m.dispatch(Run(self.m, self.state, words, self.stdin if stdin is None else stdin))

    def shell(self, code: str, what: str = "code", stdin: Text | None = None) -> Text:
        """A text runs as shell code, in a shell of its own."""
        state = self.state.copy()
        if stdin is not None or self.stdin is not None:
            state.stdin = stdin if stdin is not None else self.stdin
        return self.m.code(code, state, what)

    def unverifiable(self, why: str) -> None:
        """This part can't be known."""
        self.emit(Unverifiable(why=why, words=self.words))

    def opaque(self, kind: str, taint: int = 0) -> None:
        """Code runs that can't be seen, or that came from where code must not come from."""
        self.emit(Exec(program=self.name, kind=kind, taint=taint, words=self.words))


def base(name: str) -> str:
    """Last part of a path."""
    return posixpath.basename(name.rstrip("/"))


#: A model reads a command's words and emits its effects; it returns what the command prints.
Model = Callable[[Run], Text | None]
MODELS: dict[str, Model] = {}


def model(*names: str) -> Callable[[Model], Model]:
    """Register a model for programs of these names."""

    def register(function: Model) -> Model:
        for name in names:
            MODELS[name] = function
        return function

    return register
