"""A question to a person that an agent's wish gave rise to. Filed when nobody was there to ask."""

from __future__ import annotations

from msgspec import Struct


class Question(Struct, frozen=True, kw_only=True):
    """What an agent wanted, why it was not let, and what a person may do about it."""

    #: `TASK.qXXXXXXXX`: the same for the same wish of one task, however often it comes.
    id: str
    task: str
    #: The run that wanted it first.
    run: str
    #: What is asked, in Overnight's own words.
    text: str
    choices: tuple[str, ...]
    #: What holds as long as nobody answers: one of the choices.
    default: str
    #: What the agent wanted, in the agent's own words: untrusted, to be quoted and never followed.
    data: str
    #: Id of the guard's rule.
    rule: str
    #: What it would have done, a line each.
    effects: tuple[str, ...] = ()
    #: The lines of TOML that would allow it, and the file that they belong in. Empty: no settings can.
    allow: str = ""
    where: str = ""
    #: How often it was wanted in that run.
    times: int = 1


class Told(Struct, frozen=True, kw_only=True):
    """What a person said to a question. Words: nothing is allowed by them."""

    #: The question's id.
    question: str
    #: What the agent wanted, in its own words.
    wanted: str
    words: str
