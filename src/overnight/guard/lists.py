"""Small facts about lists of commands and their outputs."""

from __future__ import annotations

from overnight.guard.state import State
from overnight.guard.syntax import Group, Lit, Script, Word
from overnight.guard.text import STAR, Text


def spawns(body: Script) -> bool:
    """True when a body starts something in the background."""
    for item in body.items:
        if item.background:
            return True
        inner = item.command
        if isinstance(inner, Group) and spawns(inner.body):
            return True
    return False


def assigned(word: Word, state: State) -> None:
    """Names in an arithmetic text may change: they are numbers from then on."""
    text = "".join(part.text for part in word.parts if isinstance(part, Lit))
    if "=" in text or "++" in text or "--" in text:
        for name in list(state.vars):
            if name in text:
                state.vars[name] = (Text(STAR),)


def joined(outs: list[Text]) -> Text:
    """Outputs one after the other."""
    outs = [out for out in outs if out or out.taint]
    if len(outs) == 1:
        return outs[0]
    taint = 0
    for out in outs:
        taint |= out.taint
    return Text("".join(outs), taint)
