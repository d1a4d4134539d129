"""Waiting for a person's decision about exactly what is asked: by a ticket that was redeemed, and by nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from overnight.durable.flow import Story
from overnight.missions.approval import DECISION, Action, Ask, AskKind, Choice
from overnight.missions.clarify import Question
from overnight.missions.hold import Hold
from overnight.missions.judging import Decision


def ask_about(t: Story, key: str, commit: str, *, anyway: bool = False, title: str = "", why: str = "") -> Ask:
    """What is asked about a commit. key: unique in this life of the task. anyway: a plain yes is not enough."""
    land = Action.LAND_ANYWAY if anyway else Action.LAND
    return Ask(
        id=f"{t.id}.{t.life}.{key}", task=t.id, repo=t.lane, kind=AskKind.APPROVAL, commit=commit,
        actions=(land, Action.REJECT), title=title, why=why,
    )  # fmt: skip


def question_about(t: Story, key: str, why: str, choices: tuple[Choice, ...] = ()) -> Ask:
    """What is asked in words. key: unique in this life of the task."""
    return Ask(
        id=f"{t.id}.{t.life}.{key}", task=t.id, repo=t.lane, kind=AskKind.QUESTION, actions=(Action.ANSWER,), why=why,
        choices=choices,
    )  # fmt: skip


def choices_of(questions: Sequence[Question]) -> tuple[Choice, ...]:
    """Answers of one touch: each choice of a single question, or what is recommended for several."""
    if len(questions) != 1:
        return (Choice(label="what is recommended", answer="defaults"),)
    return tuple(Choice(label=choice, answer=f"1={chr(ord('a') + n)}") for n, choice in enumerate(questions[0].choices))


async def decided(t: Story, key: str, hold: Hold, ask: Ask) -> Decision:
    """Park with this hold until a person decides about exactly this. key names the wait."""
    decision = await decided_in_time(t, key, hold, ask)
    assert decision is not None, "a wait without a time-out ends by its signal"
    return decision


async def decided_in_time(t: Story, key: str, hold: Hold, ask: Ask, *, retries: bool = False) -> Decision | None:
    """The same. retries: None when it waited so long that the policy has it tried again."""

    def refuse(decision: Decision) -> str:
        if not decision.ticket:
            return "a decision without a ticket is none"
        return "" if (decision.ask, decision.commit) == (ask.id, ask.commit) else "it is about something else"

    hold = replace(hold, ask=ask)
    return await t.signal(DECISION, Decision, key=key, hold=hold, refuse=refuse, retries=retries)
