"""`status`, `show`, `log` and `diff` on journals that were really written."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_stage import Desktop, git

from overnight.durable.clock import ManualClock
from overnight.flows.rehearsal import Act
from overnight.guard.verdict import Decision
from overnight.missions.codec import convert, encode
from overnight.missions.question import Question
from overnight.missions.run import CheckResult, Result
from overnight.report.rundir import folder_of, words_of
from overnight.report.story import proof, story
from overnight.report.views import State
from overnight.warden.events import AgentSaid, Asked, Decided, EventLog, Exchanged, Started


def rows(desktop: Desktop) -> dict[str, Any]:
    """The only repo's part of `status --json`."""
    [repo] = desktop.json("status")["status"]["repos"]
    return repo


def kept_run(desktop: Desktop, task: str, n: int = 1) -> Path:
    """A run's folder as a warden leaves it, written by the warden's own log."""
    folder = folder_of(desktop.home, f"{task}.1.{n}")
    folder.mkdir(parents=True)
    facts = {"argv": ["claude"], "version": "2.1.329", "model": None, "route": "gateway", "box": "os"}
    (folder / "launch.json").write_bytes(encode(facts))
    (folder / "spec.json").write_bytes(b'{"agent": "claude"}')
    log = EventLog(folder / "events.ndjson")
    log.write(Started(run=f"{task}.1.{n}", agent="claude"))
    log.write(Asked(call="1", tool="Bash", input="pytest -q"))
    log.write(Decided(call="1", tool="Bash", decision=Decision.ALLOW, rule="ok", reason="fine"))
    log.write(Decided(call="2", tool="Bash", decision=Decision.DENY, rule="git.push", reason="a push \x1b[31mnever"))
    log.write(AgentSaid(event="tool", tool="Edit", text="a.py"))
    log.write(Exchanged(method="POST", path="/v1/messages", status=200))
    log.close()
    (folder / "agent.jsonl").write_bytes(b'{"type":"x","text":"\x1b[2J"}\nhalf')
    return folder


# -- status -------------------------------------------------------------------------------------------------


def test_status_puts_what_needs_a_person_first(desktop: Desktop) -> None:
    """A question stands above everything else, with the command that answers it."""
    desktop.shop()
    asks, lands, fails = desktop.add("asks"), desktop.add("lands"), desktop.add("fails")
    desktop.drive({asks: [Act.BLOCKED], lands: [Act.GOOD], fails: [Act.NOTHING]})
    waits = desktop.add("waits")
    said = desktop.ok("status")
    assert re.search(rf"needs you  {asks}  asks\n +needs-answer: which colour\?\n +→ `overnight answer {asks} ", said)
    order = [said.index(each) for each in (asks, waits, lands)]
    assert order == sorted(order)
    assert re.search(rf"landed +{lands} .* lands — test passed on work-", said)
    assert re.search(rf"failed +{fails} .* fails — nothing was changed \(after 3 attempts\)", said)
    assert f"queued     1: {waits}" in said
    view = rows(desktop)
    assert [row["id"] for row in view["needs_person"]] == [asks]
    assert view["needs_person"][0]["hold"]["reason"] == "needs-answer"
    assert {row["id"]: row["phase"] for row in view["ended"]} == {lands: "landed", fails: "failed"}
    assert (view["queued"], [row["id"] for row in view["next"]]) == (1, [waits])


def test_short_status_has_one_line_per_task_that_is_worth_a_word(desktop: Desktop) -> None:
    """`--plain` is for scripts and narrow screens: counts, then word, id, repo, detail; what landed or is queued is counted."""
    desktop.shop()
    asks, lands, fails = desktop.add("asks"), desktop.add("lands"), desktop.add("fails")
    desktop.drive({asks: [Act.BLOCKED], lands: [Act.GOOD], fails: [Act.NOTHING]})
    desktop.add("later")
    counts, *lines = desktop.ok("status", "--plain").splitlines()
    assert counts.startswith("daemon down: 1 need you, 0 active, 0 waiting, 1 queued, 1 landed, 1 failed since ")
    assert [line.split() for line in lines] == [
        ["needs-you", asks, "shop", "needs-answer"],
        ["failed", fails, "shop", "fails"],
    ]


def test_a_quiet_night_fits_an_sms(desktop: Desktop) -> None:
    """However many tasks landed and are queued, with everything paused: one line of at most 160 characters."""
    desktop.shop()
    done = [desktop.add(f"lands with a rather long title {n}") for n in range(12)]
    desktop.drive({task: [Act.GOOD] for task in done})
    for n in range(3):
        desktop.add(f"comes later, with a title that is long too {n}")
    desktop.ok("pause", "--all")
    said = desktop.ok("status", "--plain")
    assert said.startswith(
        "daemon down, everything paused: 0 need you, 0 active, 0 waiting, 3 queued, 12 landed, 0 failed"
    )
    assert len(said.strip()) <= 160
    assert said.count("\n") == 1


def test_a_wait_that_passes_asks_nobody(tmp_path: Path) -> None:
    """A limit with a known reset, a pause and a dependency that still runs are waits, each with what ends it."""
    desktop = Desktop(tmp_path, clock=ManualClock(1_000_000.0))
    desktop.shop()
    limited, paused = desktop.add("limited"), desktop.add("paused")
    after = desktop.add("after", "--after", paused)
    desktop.ok("pause", paused)
    desktop.drive({limited: [Act.LIMIT], paused: [Act.GOOD], after: [Act.GOOD]})
    view = rows(desktop)
    assert not view["needs_person"]
    assert {row["id"]: row["hold"]["reason"] for row in view["waiting"]} == {
        limited: "limit-reached", paused: "paused", after: "dependency",
    }  # fmt: skip
    said = desktop.ok("status")
    assert re.search(rf"{limited} +limit-reached: limit; another run begins from its work tree at ", said)
    assert f"`overnight resume {paused}`" in said


def test_a_dependency_that_ended_badly_asks_a_person(desktop: Desktop) -> None:
    """What waits for a task that failed will wait for ever unless somebody decides."""
    desktop.shop()
    first = desktop.add("first")
    after = desktop.add("after", "--after", first)
    desktop.drive({first: [Act.NOTHING], after: [Act.GOOD]})
    assert [row["id"] for row in rows(desktop)["needs_person"]] == [after]


def test_the_queue_is_counted_and_in_order(desktop: Desktop) -> None:
    """Priority first, then age; the first few by name, all of them counted."""
    desktop.shop()
    low = [desktop.add(f"low {n}") for n in range(6)]
    high = desktop.add("high", "--priority", "5")
    view = rows(desktop)
    assert view["queued"] == 7
    assert [row["id"] for row in view["next"]] == [high, *low[:4]]
    assert f"queued     7: {high}, {', '.join(low[:4])} and 2 more" in desktop.ok("status")


def test_old_endings_are_left_out(tmp_path: Path) -> None:
    """Ended tasks are shown for a day, or for as long as `--since` says."""
    desktop = Desktop(tmp_path, clock=ManualClock(1_000_000.0))
    desktop.shop()
    task = desktop.add("long ago")
    desktop.drive({task: [Act.GOOD]})
    assert task not in desktop.ok("status")
    assert task in desktop.ok("status", "--since", "36500d")


def test_an_active_task_shows_its_run_and_last_action(desktop: Desktop) -> None:
    """Phase, number of the run, and the last line of the run's events that says something."""
    desktop.shop()
    task = desktop.add("busy")
    desktop.drive({task: [Act.GOOD]})
    kept_run(desktop, task)
    to_the_middle_of_run(desktop, task)
    [row] = rows(desktop)["active"]
    assert (row["phase"], row["run"], row["state"]) == ("running", 1, "active")
    assert row["last"]["text"] == "Edit: a.py"
    assert re.search(rf"running 1  {task} .* busy  Edit: a.py", desktop.ok("status"))
    desktop.ok("stop", task)
    assert f"running 1, stopping  {task}" in desktop.ok("status")


def test_what_a_run_would_ask_is_shown_while_it_goes_on(desktop: Desktop) -> None:
    """`status` and `show` read it from the run's folder; the journal has it when the run has ended."""
    desktop.shop()
    task = desktop.add("busy")
    desktop.drive({task: [Act.GOOD]})
    folder = kept_run(desktop, task)
    to_the_middle_of_run(desktop, task)
    asked = Question(
        id=f"{task}.q1", task=task, run=f"{task}.1.1", text="May it remove a package?", choices=("no", "yes"),
        default="no", data="pip uninstall -y x", rule="install.remove", where="config.toml", allow="x = 1",
    )  # fmt: skip
    (folder / "questions.json").write_bytes(encode((asked,)))
    [row] = rows(desktop)["active"]
    assert [each["id"] for each in row["questions"]] == [asked.id]
    assert "pip uninstall -y x" in desktop.ok("show", task, "--json")
    assert asked.text in desktop.ok("status")
    (folder / "questions.json").write_bytes(b"half")
    assert rows(desktop)["active"][0]["questions"] == []


def to_the_middle_of_run(desktop: Desktop, task: str) -> None:
    """The journal as it was while the first run went on."""
    import sqlite3

    db = sqlite3.connect(desktop.home / "journal.db", isolation_level=None)
    db.execute("DELETE FROM step WHERE task = ? AND name NOT IN ('prepare', 'baseline', 'open 1')", (task,))
    db.execute("UPDATE task SET state = 'ready', phase = 'running', output = NULL WHERE id = ?", (task,))
    db.close()


def test_pauses_are_told_with_who_and_how(desktop: Desktop) -> None:
    """A pause over everything or a repo stands at the top."""
    desktop.shop()
    desktop.ok("pause")
    desktop.ok("pause", "--repo", "shop")
    said = desktop.ok("status")
    assert re.search(r"Everything is paused by cli since .*: `overnight resume` takes it back", said)
    assert re.search(r"shop is paused by cli since .*: `overnight resume --repo shop` takes it back", said)
    assert [pause["repo"] for pause in desktop.json("status")["status"]["pauses"]] == [None, "shop"]


def test_ten_thousand_waiting_tasks_are_counted_not_listed(desktop: Desktop) -> None:
    """A long queue makes a short status."""
    import sqlite3

    desktop.shop()
    task = desktop.add("model")
    db = sqlite3.connect(desktop.home / "journal.db", isolation_level=None)
    columns = "flow, lane, priority, state, phase, wait_for, need_pool, need_key, input, created, updated"
    db.execute(
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "
        f"INSERT INTO task(id, {columns}) SELECT 'bulk-' || i, {columns} FROM task, n WHERE id = ?",
        (task,),
    )
    db.close()
    assert rows(desktop)["queued"] == 10_001
    assert len(desktop.ok("status").splitlines()) < 10


# -- show ---------------------------------------------------------------------------------------------------


def test_the_story_of_a_repaired_task(desktop: Desktop) -> None:
    """Two runs, the check that failed and the one that passed, the landing; in order."""
    desktop.shop()
    task = desktop.add("Mend it", "--accept", "tests are green")
    desktop.drive({task: [Act.BREAKS, Act.GOOD]})
    kept_run(desktop, task, 2)
    said = desktop.ok("show", task[:6])
    telling = [
        "landed", "Mend it", "must be true at the end: tests are green", "queued by cli", "starts from base of main",
        "checks on the base", "run 1 begins", "run 1 completed", "left commit work-", "failed (exit 1",
        "run 2 begins: claude 2.1.329, model of its own choice, paid by API key, which stays outside the box, box os",
        "run 2 completed", "passed (exit 0", "landed as", "Evidence", f"{task}.1.1",
    ]  # fmt: skip
    at = 0
    for words in telling:
        assert words in said[at:], f"{words!r} is missing or out of order in\n{said}"
        at = said.index(words, at)
    assert "unknown turns" in said
    view = desktop.json("show", task)
    assert [run["n"] for run in view["runs"]] == [1, 2]
    assert [[check["passed"] for check in run["checks"]] for run in view["runs"]] == [[False], [True]]
    assert view["runs"][1]["launch"]["version"] == "2.1.329"
    assert [each["what"] for each in view["landings"]] == ["landed"]
    assert view["runs"][0]["outcome"]["usage"]["cost_usd"] is None


def test_the_story_of_a_hold_and_a_retry(desktop: Desktop) -> None:
    """A question, its answer, an end without landing, and the next life."""
    desktop.shop()
    task = desktop.add("Ask")
    world = desktop.drive({task: [Act.BLOCKED, Act.BREAKS]})
    said = desktop.ok("show", task)
    assert f'held: needs-answer: which colour? → `overnight answer {task} "..."`' in said
    desktop.ok("answer", task, "red", "please")
    desktop.drive({}, world)
    assert desktop.json("show", task)["answers"] == ["red please"]
    assert desktop.json("show", task)["row"]["phase"] == "failed"
    desktop.ok("retry", task)
    world.scripts = {task: [Act.GOOD]}
    desktop.drive({}, world)
    told = story(desktop.home, task)
    assert (told.row.state, told.row.phase, told.row.life) == (State.ENDED, "landed", 2)
    assert [(run.life, run.n) for run in told.runs] == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 1)]
    assert "begun anew by cli (life 2)" in desktop.ok("show", task)


def test_the_story_of_a_conflict(desktop: Desktop) -> None:
    """Both tries to land are told: the conflict, then the landing."""
    desktop.shop()
    task = desktop.add("Clash")
    desktop.drive({task: [Act.CONFLICTS, Act.GOOD]})
    assert [view.what for view in story(desktop.home, task).landings] == ["conflict", "landed"]
    assert "conflicts in file with" in desktop.ok("show", task)


def test_a_story_outlives_its_archived_events(desktop: Desktop) -> None:
    """When old events were archived, the finished steps still tell what happened."""
    import sqlite3

    desktop.shop()
    task = desktop.add("Old")
    desktop.drive({task: [Act.GOOD]})
    db = sqlite3.connect(desktop.home / "journal.db", isolation_level=None)
    db.execute("DELETE FROM event")
    db.close()
    said = desktop.ok("show", task)
    assert "run 1 completed" in said
    assert "landed as" in said


@pytest.mark.parametrize(
    ("output", "telling"),
    [
        ("", ""),
        ("..F\n=== 1 failed, 2 passed in 0.1s ===\n\n", "1 failed, 2 passed in 0.1s"),
        ("ok\n-----\n", "ok"),
        ("x" * 500, "x" * 159 + "…"),
    ],
)
def test_the_telling_line_of_a_check(output: str, telling: str) -> None:
    """Tools sum up at the end; rules of dashes are no summary."""
    assert proof(output) == telling


# -- log ----------------------------------------------------------------------------------------------------


def test_a_log_is_readable(desktop: Desktop) -> None:
    """Denials and actions in words; routine only with `--all`; no control characters."""
    desktop.shop()
    task = desktop.add("x")
    desktop.drive({task: [Act.GOOD]})
    kept_run(desktop, task)
    lines = [line[10:] for line in desktop.ok("log", task).splitlines()]
    assert lines == [
        f"started: run {task}.1.1, agent claude",
        "denied Bash: a push never (git.push)",
        "Edit: a.py",
    ]
    everything = desktop.ok("log", task, "--all").splitlines()
    assert len(everything) == 6
    assert everything[1].endswith("asks for Bash: pytest -q")


def test_a_raw_log_is_byte_for_byte_in_a_pipe(desktop: Desktop) -> None:
    """Piped, `--raw` is the agent's own output, also its last, unfinished line."""
    desktop.shop()
    task = desktop.add("x")
    desktop.drive({task: [Act.GOOD]})
    folder = kept_run(desktop, task)
    raw = desktop.run("log", task, "--raw").stdout_bytes
    assert raw == (folder / "agent.jsonl").read_bytes() + b"\n"


def test_logs_that_are_not_there(desktop: Desktop) -> None:
    """No run yet, no such run, and a folder that is gone are told apart."""
    desktop.shop()
    task = desktop.add("x")
    for words, says in [(["log", task], "No run of it has begun"), (["log", task, "--run", "4"], "has no run 4")]:
        result = desktop.run(*words)
        assert (result.exit_code, says in result.stderr) == (2, True)
    desktop.drive({task: [Act.GOOD]})
    result = desktop.run("log", task)
    assert (result.exit_code, "is not there" in result.stderr) == (2, True)
    with contextlib.closing(sqlite3.connect(desktop.home / "journal.db")) as db, db:
        db.execute("DELETE FROM step WHERE name = 'run 1'")  # as it is while the run goes on
    result = desktop.run("log", task)
    assert (result.exit_code, "has only begun and wrote nothing yet" in result.stderr) == (2, True)


def test_following_a_log_ends_with_its_task(desktop: Desktop) -> None:
    """`log --follow` begins before the first run, goes on into the next one, and ends when the task does."""
    desktop.shop()
    task = desktop.add("x")
    command = [sys.executable, "-m", "overnight", "log", task, "--follow"]
    with subprocess.Popen(
        command, env=desktop.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        killer = threading.Timer(60, child.kill)
        killer.start()
        kept_run(desktop, task, 1)
        kept_run(desktop, task, 2)
        desktop.drive({task: [Act.BREAKS, Act.GOOD]})
        said, _ = child.communicate()
        killer.cancel()
    assert child.returncode == 0
    assert said.count("Edit: a.py") >= 1
    assert said.rstrip().splitlines()[-1].startswith(f"{task} has landed: test passed on ")


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"kind": "agent", "event": "text", "text": "hello"}, "hello"),
        ({"kind": "agent", "event": "tool", "tool": "Bash", "text": "ls"}, "Bash: ls"),
        ({"kind": "agent", "event": "tool-result", "tool": "Bash", "failed": True, "text": "no"}, "Bash failed: no"),
        ({"kind": "done", "tool": "Bash", "failed": True, "error": "boom"}, "Bash failed: boom"),
        ({"kind": "ended", "end": "completed", "why": "done"}, "ended (completed): done"),
        ({"kind": "new", "at": 1, "seq": 2, "n": 0, "x": None}, "new: n 0"),
        ({}, ""),
    ],
)
def test_records_in_words(event: dict[str, Any], words: str) -> None:
    """Known records read like sentences, unknown ones are still told."""
    assert words_of(event) == words


# -- diff ---------------------------------------------------------------------------------------------------


def with_work(desktop: Desktop, path: Path, write: Callable[[], object]) -> str:
    """A task whose recorded result is a real commit on top of the repository's head."""
    import sqlite3

    task = desktop.add("x")
    desktop.drive({task: [Act.GOOD]})
    base = git(path, "rev-parse", "HEAD")
    write()
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "work")
    work = git(path, "rev-parse", "HEAD")
    git(path, "update-ref", f"refs/overnight/{task}/{task}.1.1", work)
    git(path, "reset", "-q", "--hard", base)
    db = sqlite3.connect(desktop.home / "journal.db", isolation_level=None)
    [(ground,)] = db.execute("SELECT output FROM step WHERE name = 'prepare'")
    result = Result(commit=work, ref=f"refs/overnight/{task}/{task}.1.1", changed=("a.txt",))
    db.execute("UPDATE step SET output = ? WHERE name = 'collect 1'", (encode(result).decode(),))
    db.execute("UPDATE step SET output = ? WHERE name = 'prepare'", (json.dumps({**json.loads(ground), "base": base}),))
    db.close()
    return task


def test_a_diff_applies(desktop: Desktop) -> None:
    """Piped, the diff is a patch that git takes, whatever bytes the files hold."""
    path = desktop.shop()
    content = b"two \xff\x1b[2J\n"
    task = with_work(desktop, path, lambda: (path / "a.txt").write_bytes(content))
    patch = desktop.run("diff", task).stdout_bytes
    (desktop.folder / "patch").write_bytes(patch)
    git(path, "apply", str(desktop.folder / "patch"))
    assert (path / "a.txt").read_bytes() == content
    assert "a.txt | 2 +-" in desktop.ok("diff", task, "--stat")


def test_a_diff_starts_no_program(desktop: Desktop) -> None:
    """External diffs and text converters that a repository names are not run."""
    path = desktop.shop()
    trap = desktop.folder / "trapped"

    def write() -> None:
        (path / ".gitattributes").write_text("*.txt diff=trap\n")
        (path / "a.txt").write_text("two\n")

    git(path, "config", "diff.trap.textconv", f"touch {trap}; cat")
    git(path, "config", "diff.trap.command", f"touch {trap}")
    git(path, "config", "diff.external", f"touch {trap}")
    task = with_work(desktop, path, write)
    assert "+two" in desktop.ok("diff", task)
    assert not trap.exists()


def test_diffs_that_are_not_there(desktop: Desktop) -> None:
    """No work yet, no such run, nothing changed: each is told."""
    desktop.shop()
    task = desktop.add("x")
    result = desktop.run("diff", task)
    assert (result.exit_code, "No run of it has left its work yet" in result.stderr) == (2, True)
    desktop.drive({task: [Act.NOTHING]})
    result = desktop.run("diff", task)
    assert (result.exit_code, result.stdout, "changed nothing" in result.stderr) == (0, "", True)
    result = desktop.run("diff", task, "--run", "9")
    assert (result.exit_code, "has no run 9" in result.stderr) == (2, True)


def test_check_results_keep_their_shape() -> None:
    """A recorded check of this version is read back."""
    check = CheckResult(name="t", command="true", commit="c", passed=True, code=0, seconds=1.0)
    assert convert(json.loads(encode(check)), CheckResult) == check
