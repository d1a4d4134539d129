"""Tickets: what counts, and everything that does not."""

from __future__ import annotations

import pytest
from people_lab import COMMIT, Lab

from overnight.missions.approval import WORDS, Action, Reason, Redeemed, Refusal


def refused(lab: Lab, answer: Redeemed | Refusal, reason: Reason) -> None:
    """It was refused for this reason, in a person's words, on record, and nothing came of it."""
    assert isinstance(answer, Refusal), answer
    assert (answer.reason, answer.words) == (reason, WORDS[reason])
    told = lab.events("approval.refused")[-1]
    assert (told["reason"], told["why"]) == (reason, f"{reason}: {WORDS[reason]}")
    before = list(lab.landed)
    lab.drive()
    assert lab.landed == before


def test_an_approval_lands_exactly_what_it_is_about(lab: Lab) -> None:
    """The token is short, says nothing by itself, and who decided is on record."""
    lab.submit()
    token = lab.issue()
    assert (len(token), token.isascii()) == (40, True)
    assert COMMIT[:8] not in token
    taken = lab.redeem(token)
    assert taken == Redeemed(task="t1", commit=COMMIT, action=Action.LAND, operator="ann")
    lab.drive()
    assert lab.landed == [f"{COMMIT} by ann"]
    (told,) = lab.events("approval.taken")
    assert (told["actor"], told["commit"], told["channel"], told["sender"]) == ("ann", COMMIT, "telegram", "1001")
    assert token not in str([lab.events(what) for what in ("approval.issued", "approval.taken")])


def test_a_rejection_ends_the_task_with_its_words(lab: Lab) -> None:
    """Words that came with it are its reason."""
    lab.submit()
    assert isinstance(lab.redeem(lab.issue(action=Action.REJECT), why="not like this"), Redeemed)
    lab.drive()
    assert (lab.row()["phase"], lab.landed) == ("rejected", [])
    assert lab.events("task.ended")[-1]["why"] == "not like this"


@pytest.mark.parametrize("token", ["", "yes", "approve t1", "o1", "o1" + "A" * 37, "o1" + "A" * 39, "o1" + "é" * 38])
def test_free_text_approves_nothing(lab: Lab, token: str) -> None:
    """Words, and what is no whole token, are garbled."""
    lab.submit()
    refused(lab, lab.redeem(token), Reason.GARBLED)


def test_a_token_that_nobody_made_is_unknown(lab: Lab) -> None:
    """The right form is not enough."""
    lab.submit()
    lab.issue()
    refused(lab, lab.redeem("o1" + "A" * 38), Reason.UNKNOWN)


@pytest.mark.parametrize("at", [18, 30, 39])
def test_a_forged_signature_is_refused(lab: Lab, at: int) -> None:
    """One character that is another."""
    lab.submit()
    token = lab.issue()
    other = "A" if token[at] != "A" else "Q"
    refused(lab, lab.redeem(token[:at] + other + token[at + 1 :]), Reason.FORGED)
    assert isinstance(lab.redeem(token), Redeemed), "a refused try uses nothing up"
