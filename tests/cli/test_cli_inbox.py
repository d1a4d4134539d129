"""`inbox` and `answer`: all that a person is asked in one list, and words that reach who asked."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

from cli_stage import Desktop

from overnight.flows.rehearsal import Act, World
from overnight.judge.risk import Band, Factor, Risk
from overnight.missions.codec import builtins
from overnight.missions.question import Question
from overnight.people.waits import KEEP
from overnight.report.story import story

RISKY = Risk(score=40, band=Band.MEDIUM, factors=(Factor(name="migrations", points=40.0, why="db/1.sql"),))


def night(desktop: Desktop, world: World | None = None) -> tuple[str, str, str]:
    """Tasks that wait: with a result, with a question, and for another that failed."""
    desktop.shop()
    world = world or World({})
    world.risk = RISKY
    risky, asks, failing = (desktop.add(title, "--as-is") for title in ("Change it", "Ask me", "Break it"))
    after = desktop.add("Wait for it", "--as-is", "--after", failing)
    desktop.drive(
        {risky: [Act.GOOD], asks: [Act.BLOCKED, Act.GOOD], failing: [Act.NOTHING] * 3, after: [Act.GOOD]}, world
    )
    return risky, asks, after


def file_question(desktop: Desktop, task: str) -> str:
    """Put a question of a run on record, as its story does."""
    asked = Question(
        id=f"{task}.q0badcafe", task=task, run=f"{task}.1.1", text="May it push?", choices=("keep it denied",),
        default="keep it denied", data="git push origin \x1b[31mHEAD", rule="git.push", allow='[guard.git]\npush = "allow"',
        where="config.toml",
    )  # fmt: skip
    desktop.tell("question.asked", task, question=builtins(asked))
    return asked.id


def test_everything_that_is_asked_is_in_one_list(desktop: Desktop) -> None:
    """Decisions before questions before holds before denied calls, each with the command that answers it."""
    assert desktop.run("inbox").exit_code == 0
    risky, asks, after = night(desktop)
    question = file_question(desktop, asks)
    items = desktop.json("inbox")
    assert [(item["sort"], item["task"]) for item in items] == [
        ("approval", risky), ("question", asks), ("hold", after), ("denied", asks)
    ]  # fmt: skip
    approval = items[0]
    assert (approval["actions"], approval["proof"]["risk"], approval["proof"]["why"]) == (
        ["land", "reject"],
        40,
        ["db/1.sql"],
    )
    assert "no judge looked at it" in approval["proof"]["unproven"]
    assert len(approval["commit"]) >= 7
    printed = desktop.ok("inbox")
    for command in (f"overnight approve {risky}", f"overnight answer {asks}", f"overnight answer {question} keep"):
        assert command in printed
    assert desktop.json("inbox", "--repo", "shop") == items


def test_one_item_is_shown_whole(desktop: Desktop) -> None:
    """By id or by task: what is proved and what not; of a denied call its words and the lines that would allow it."""
    risky, asks, after = night(desktop)
    question = file_question(desktop, asks)
    shown = desktop.ok("inbox", "show", risky)
    assert all(part in shown for part in ("risk 40 of 100", "db/1.sql", "not proven:", "overnight approve"))
    denied = desktop.ok("inbox", "show", question)
    assert all(part in denied for part in ("git push origin", 'push = "allow"', "config.toml", "no answer allows it"))
    assert "\x1b[31m" not in denied
    assert desktop.json("inbox", "show", after)["sort"] == "hold"
    missing = desktop.run("inbox", "show", "nope")
    assert (missing.exit_code, "`overnight inbox` lists it" in missing.stderr) == (2, True)


def test_a_word_about_a_denied_call_closes_it(desktop: Desktop) -> None:
    """It leaves the list, is told to the next run as data, and is on record with who said it."""
    world = World({})
    _, asks, _ = night(desktop, world)
    question = file_question(desktop, asks)
    assert "no settings were changed" in desktop.ok("answer", question, "keep")
    assert question not in [item["id"] for item in desktop.json("inbox")]
    assert question not in json.dumps(desktop.json("status"))
    again = desktop.run("answer", question, "keep")
    assert (again.exit_code, "does not wait for this" in again.stderr) == (2, True)
    desktop.ok("answer", asks, "go", "on")
    desktop.drive({}, world)
    prompt = world.specs[f"{asks}.1.2"].prompt
    assert f"> {KEEP}" in prompt
    assert "> go on" in prompt
    (told,) = [moment for moment in story(desktop.home, asks).moments if moment.what == "question.answered"]
    assert told.who.startswith("cli:")


def test_every_decision_of_the_command_line_is_a_ticket(desktop: Desktop) -> None:
    """`approve` makes one for the user of the machine and uses it: both are on record, and it can't be used again."""
    risky, _, _ = night(desktop)
    desktop.ok("approve", risky)
    with closing(sqlite3.connect(desktop.home / "journal.db")) as db:
        sql = "SELECT what, actor, data FROM event WHERE what LIKE 'approval.%' ORDER BY seq"
        (issued, _, one), (taken, by, two) = db.execute(sql).fetchall()
        (kept,) = db.execute(
            "SELECT json_extract(value, '$.taken.channel') FROM record WHERE kind = 'ticket'"
        ).fetchone()
    assert (issued, taken, kept) == ("approval.issued", "approval.taken", "cli")
    assert by.startswith("cli:")
    assert json.loads(one)["ticket"] == json.loads(two)["ticket"]
