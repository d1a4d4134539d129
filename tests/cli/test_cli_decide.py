"""`approve`, `reject`, `holds`: a word about exactly what waits, and what comes of it."""

from __future__ import annotations

import pytest
from cli_stage import Desktop
from msgspec.structs import replace

from overnight.errors import NotDecided
from overnight.flows.rehearsal import POLICY, Act, World
from overnight.judge.risk import Band, Risk
from overnight.judge.verdict import Said, Word
from overnight.missions.codec import builtins
from overnight.missions.judging import BLOCKED, Decision, Quorum
from overnight.report.story import story

MEDIUM = Risk(score=40, band=Band.MEDIUM)
BENT = Risk(score=40, band=Band.HIGH, blocks=("test-skipped in tests/a.py:3: it does not run",))
TWO = replace(POLICY, judges=Quorum(families=2))


def said(verdict: Word, blocking: tuple[str, ...] = (), gaps: tuple[str, ...] = (), *, injection: bool = False) -> Said:
    return Said(verdict=verdict, confidence=0.9, blocking=blocking, other=(), gaps=gaps, injection=injection)


def risky(risk: Risk = MEDIUM) -> World:
    world = World({})
    world.risk = risk
    return world


def judged(**verdicts: Said | None) -> World:
    """A world in which each of these families says the same of every commit."""
    world = World({}, TWO)
    world.verdicts = {family: lambda _commit, say=say: say for family, say in verdicts.items()}
    return world


def held(desktop: Desktop, task: str) -> tuple[str, str]:
    """Reason and why; two empty texts for a task that is not held."""
    row = story(desktop.home, task).row
    return (row.hold.reason, row.hold.why) if row.hold else ("", "")


def phase(desktop: Desktop, task: str) -> str:
    return story(desktop.home, task).row.phase


def waiting(desktop: Desktop, world: World, acts: tuple[Act, ...] = (Act.GOOD,)) -> str:
    """A task whose result has come as far as it gets in this world."""
    desktop.shop()
    task = desktop.add("Change it", "--as-is")
    desktop.drive({task: acts}, world)
    return task


def test_what_is_risky_lands_when_it_is_approved(desktop: Desktop) -> None:
    """It waits with the risk in its reason, lands once, and is decided about only once."""
    world = risky()
    task = waiting(desktop, world)
    reason, why = held(desktop, task)
    assert (reason, "risk 40 of 100" in why) == ("needs-approval", True)
    assert "approved" in desktop.ok("approve", task)
    desktop.drive({}, world)
    assert (phase(desktop, task), world.landed[task]) == ("landed", 1)
    again = desktop.run("approve", task)
    assert (again.exit_code, "is landed: approve does not apply" in again.stderr) == (2, True)


def test_a_rejected_result_ends_with_the_reason(desktop: Desktop) -> None:
    """Nothing lands, the words are kept, and its work stays on a ref."""
    world = risky()
    task = waiting(desktop, world)
    desktop.ok("reject", task, "not", "like", "this")
    desktop.drive({}, world)
    ending = story(desktop.home, task).row.ending
    assert ending is not None
    assert (ending.phase, ending.why, world.landed[task]) == ("rejected", "not like this", 0)
    assert ending.rescue


def test_a_word_about_another_commit_is_none(desktop: Desktop) -> None:
    """The command refuses it, and the story would not hear it either."""
    world = risky()
    task = waiting(desktop, world)
    other = desktop.run("approve", task, "--commit", "0123456789")
    assert (other.exit_code, "not with 0123456789" in other.stderr) == (2, True)
    forged = Decision(commit="f" * 40, approved=True, by="somebody")
    with pytest.raises(NotDecided):
        desktop.call("signal", task=task, name="decision", payload=builtins(forged))
    desktop.drive({}, world)
    assert (held(desktop, task)[0], world.landed[task]) == ("needs-approval", 0)


def test_what_is_blocked_lands_only_when_it_is_meant(desktop: Desktop) -> None:
    """A plain yes is refused with the reason, by the command and by the story; `--anyway` lands it."""
    world = risky(BENT)
    task = waiting(desktop, world, (Act.GOOD, Act.GOOD, Act.GOOD))
    reason, why = held(desktop, task)
    assert (reason, why.startswith(f"{BLOCKED}test-skipped in tests/a.py:3")) == ("needs-approval", True)
    assert len(story(desktop.home, task).runs) == 3, "the runs before were told to put it back"
    plain = desktop.run("approve", task)
    assert (plain.exit_code, "--anyway" in plain.stderr) == (2, True)
    commit = story(desktop.home, task).runs[-1].examined
    assert commit is not None
    unmeant = Decision(commit=commit.commit, approved=True, by="somebody")
    with pytest.raises(NotDecided):
        desktop.call("signal", task=task, name="decision", payload=builtins(unmeant))
    desktop.drive({}, world)
    assert world.landed[task] == 0
    desktop.ok("approve", task, "--anyway")
    desktop.drive({}, world)
    assert (phase(desktop, task), world.landed[task]) == ("landed", 1)


@pytest.mark.parametrize(
    ("verdicts", "reason", "why"),
    [
        ({"a": said(Word.PASS), "b": said(Word.PASS)}, "", ""),
        ({"a": said(Word.PASS)}, "needs-approval", "1 of 2 families"),
        ({}, "needs-approval", "0 of 2 families"),
        ({"a": said(Word.PASS), "b": None}, "needs-approval", "it gave no answer"),
        ({"a": said(Word.PASS), "b": said(Word.NEEDS_HUMAN)}, "needs-approval", "b asks for a person"),
        ({"a": said(Word.PASS), "b": said(Word.PASS, gaps=("the migration",))}, "needs-approval", "the migration"),
        ({"a": said(Word.PASS), "b": said(Word.PASS, injection=True)}, "needs-approval", "talk it over"),
        ({"a": said(Word.PASS), "b": said(Word.FAIL, blocking=("it loses data",))}, "judges-disagree", "it loses data"),
    ],
)
def test_judges_decide_only_when_they_agree(
    desktop: Desktop, verdicts: dict[str, Said | None], reason: str, why: str
) -> None:
    """Two families that pass it without gaps land it; anything less waits for a person and says what was missing."""
    world = judged(**verdicts)
    task = waiting(desktop, world)
    found = held(desktop, task)
    assert (found[0], why in found[1]) == (reason, True)
    assert world.landed[task] == (0 if reason else 1)


def test_what_all_judges_fail_is_tried_again_and_fails(desktop: Desktop) -> None:
    """Each run costs an attempt, the next one is told, and the end names the issue."""
    failing = said(Word.FAIL, blocking=("it loses data",))
    world = judged(a=failing, b=failing)
    task = waiting(desktop, world, (Act.GOOD, Act.GOOD, Act.GOOD))
    told = story(desktop.home, task)
    assert (told.row.phase, len(told.runs), world.landed[task]) == ("failed", 3, 0)
    assert told.row.ending is not None
    assert "it loses data" in told.row.ending.why


def test_holds_are_listed_with_what_releases_them(desktop: Desktop) -> None:
    """What waits for a person is first; without any it says so."""
    desktop.shop()
    assert desktop.ok("holds").strip() == "Nothing is held."
    paused, asks = desktop.add("Wait", "--as-is"), desktop.add("Ask", "--as-is")
    desktop.ok("pause", paused)
    desktop.drive({asks: [Act.BLOCKED], paused: [Act.GOOD]})
    printed = desktop.ok("holds")
    assert printed.index(f"needs-answer {asks}") < printed.index(f"paused {paused}")
    assert f"overnight answer {asks}" in printed
    assert [row["id"] for row in desktop.json("holds", "--repo", "shop")] == [asks, paused]
