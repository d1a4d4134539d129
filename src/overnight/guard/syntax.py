"""Bash, as a tree. Words keep where each piece of them came from; nothing here is expanded yet."""

from __future__ import annotations

from msgspec import Struct

# -- words --------------------------------------------------------------------------------------------------


class Lit(Struct, frozen=True):
    """Text as it stands. Unquoted text may still hold globs and a tilde."""

    text: str
    quoted: bool = False


class Param(Struct, frozen=True):
    """`$name`, `${name}` and all its forms."""

    name: str
    quoted: bool = False
    #: `:-`, `#`, `%%`, `/`, `:`, `^^`, `@`, ...; empty for the plain form.
    op: str = ""
    #: The word after the operator, unexpanded.
    arg: Word | None = None
    #: Subscript, unexpanded; a Word for `@` and `*` too.
    index: Word | None = None
    #: `${#name}`
    length: bool = False
    #: `${!name}`
    indirect: bool = False


class Sub(Struct, frozen=True):
    """`$(...)` or backquotes."""

    script: Script
    quoted: bool = False


class Proc(Struct, frozen=True):
    """`<(...)` or `>(...)`."""

    script: Script
    #: `<` or `>`
    way: str


class Arith(Struct, frozen=True):
    """`$((...))`; the expressions inside it that expand are kept."""

    body: Word
    quoted: bool = False


class ArrayLit(Struct, frozen=True):
    """`(a b [k]=c)` after an assignment's `=`."""

    items: tuple[Word, ...]


Part = Lit | Param | Sub | Proc | Arith | ArrayLit


class Word(Struct, frozen=True):
    """One word, brace expansion done."""

    parts: tuple[Part, ...] = ()

    def literal(self) -> str | None:
        """Its text when it is nothing but text."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Lit):
            return self.parts[0].text
        out = ""
        for part in self.parts:
            if not isinstance(part, Lit):
                return None
            out += part.text
        return out


class Assign(Struct, frozen=True):
    """`name=value`, `name+=value`, `name[i]=value`, `name=(...)`."""

    name: str
    value: Word
    append: bool = False
    index: Word | None = None


class Redir(Struct, frozen=True):
    """A redirection. Here-documents and here-strings carry their body as the target."""

    op: str
    target: Word
    #: Number before the operator; None for the default; -1 when `{var}` names it.
    fd: int | None = None
    var: str = ""


# -- commands -----------------------------------------------------------------------------------------------


class Simple(Struct, frozen=True):
    """Assignments, words, redirections."""

    assigns: tuple[Assign, ...]
    words: tuple[Word, ...]
    redirs: tuple[Redir, ...]


class Pipeline(Struct, frozen=True):
    """Commands joined by `|`."""

    commands: tuple[Command, ...]


class AndOr(Struct, frozen=True):
    """`left && right`, `left || right`."""

    left: Command
    op: str
    right: Command


class Item(Struct, frozen=True):
    """One command of a list."""

    command: Command
    background: bool = False


class Script(Struct, frozen=True):
    """A list of commands."""

    items: tuple[Item, ...]


class Group(Struct, frozen=True):
    """`{ ...; }` or, with `subshell`, `( ... )`."""

    body: Script
    subshell: bool = False


class If(Struct, frozen=True):
    """Pairs of condition and branch; the else branch has an empty condition."""

    clauses: tuple[tuple[Script, Script], ...]


class While(Struct, frozen=True):
    """`while` or `until`."""

    condition: Script
    body: Script
    until: bool = False


class For(Struct, frozen=True):
    """`for name in words` and `select`. None: over the positional parameters."""

    name: str
    words: tuple[Word, ...] | None
    body: Script


class CFor(Struct, frozen=True):
    """`for ((a; b; c))`."""

    head: tuple[Word, Word, Word]
    body: Script


class Case(Struct, frozen=True):
    """`case word in ...`: (patterns, body, terminator)."""

    word: Word
    arms: tuple[tuple[tuple[Word, ...], Script, str], ...]


class Func(Struct, frozen=True):
    """A function's definition."""

    name: str
    body: Command


class Test(Struct, frozen=True):
    """`[[ ... ]]`: all its words."""

    words: tuple[Word, ...]


class ArithCommand(Struct, frozen=True):
    """`(( ... ))`."""

    body: Word


class Coproc(Struct, frozen=True):
    """`coproc [NAME] command`."""

    name: str
    command: Command


class Redirected(Struct, frozen=True):
    """A compound command with redirections."""

    command: Command
    redirs: tuple[Redir, ...]


Command = (
    Simple
    | Pipeline
    | AndOr
    | Group
    | If
    | While
    | For
    | CFor
    | Case
    | Func
    | Test
    | ArithCommand
    | Coproc
    | Redirected
)
