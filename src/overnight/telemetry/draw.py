"""From an event of the journal to the spans of what ended with it."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from overnight.durable.chain import Event
from overnight.judge.verdict import Opinion, Word
from overnight.missions.codec import decode
from overnight.missions.money import Bill
from overnight.missions.places import run_dir
from overnight.missions.run import CheckResult, End, RunOutcome
from overnight.missions.task import Ending, Phase, Task
from overnight.ports import Ground, Landed, Moved
from overnight.telemetry.calls import Around, Calls, tokens_of, used_by
from overnight.telemetry.values import Mark, Measured, Span, Value, span_id, trace_id
from overnight.telemetry.words import Words, provider_of, tail_of

#: What is seen of a task's way within its span.
_MARKS, MOST_MARKS = ("task.phase", "task.held", "task.released", "hold.timed-out", "task.fault"), 200
_NUMBERED = re.compile(r"(\w+)(?: (\d+)(?:\.(\d+))?)?")
_CHECKS = frozenset({"baseline", "check", "recheck"})
_LANDINGS = frozenset({"land", "branch"})
_PLAIN = frozenset({"prepare", "collect", "examine", "push", "pull", "merge"})
_GOOD = (End.COMPLETED, End.BLOCKED, End.HANDED_OVER, End.STOPPED)


class _Life(NamedTuple):
    """One life of a task."""

    task: str
    repo: str
    life: int
    created: float
    trace: str
    root: str
    #: Attributes of everything in it.
    known: dict[str, Value]


class _Step(NamedTuple):
    name: str
    output: str
    started: float
    finished: float


class Drawing:
    """Draws what ended with an event."""

    def __init__(self, home: Path, words: Words) -> None:
        self._home, self._words = home, words

    def of(self, db: sqlite3.Connection, event: Event) -> Iterator[Span | Measured]:
        """Nothing where the event ends nothing, or its task was swept meanwhile."""
        if event.task is None or event.what not in ("step.done", "task.ended"):
            return
        if (life := self._life(db, event)) is None:
            return
        if event.what == "task.ended":
            yield from self._task(db, life, event)
        elif (step := _step(db, life, event.why)) is not None:
            yield from self._stepped(db, life, step)

    def _life(self, db: sqlite3.Connection, event: Event) -> _Life | None:
        row = db.execute("SELECT lane, life, created FROM task WHERE id = ?", (event.task,)).fetchone()
        if row is None:
            return None
        sql = "SELECT count(*) FROM event WHERE task = ? AND what = 'task.retried' AND seq > ?"
        return self._named(event.task or "", row, row["life"] - db.execute(sql, (event.task, event.seq)).fetchone()[0])

    def _named(self, task: str, row: sqlite3.Row, life: int) -> _Life:
        trace, repo = trace_id(task, row["created"], life), self._words.name(row["lane"])
        known: dict[str, Value] = {
            "vcs.repository.name": repo, "overnight.task.tail": self._words.name(tail_of(task)),
            "overnight.task.life": life,
        }  # fmt: skip
        if self._words.content:
            known["overnight.task.id"] = self._words.said(task)
        return _Life(task, repo, life, row["created"], trace, span_id(trace, "task"), known)

    # -- the task -------------------------------------------------------------------------------------------

    def _task(self, db: sqlite3.Connection, life: _Life, event: Event) -> Iterator[Span | Measured]:
        for n in _unfinished(db, life):  # a cancelled run is no finished step
            yield from self._run(db, life, n, None, event.at)
        phase = str(_data(event).get("phase") or "")
        begun, marks, runs = life.created, list[Mark](), 0
        sql = "SELECT at, what, why, seq FROM event WHERE task = ? AND seq <= ? ORDER BY seq DESC"
        rows = db.execute(sql, (life.task, event.seq)).fetchall()
        for row in rows:
            if row["what"] == "task.retried":
                begun = row["at"]
                break
            runs += row["what"] == "step.done" and row["why"].startswith("run ")
            if row["what"] in _MARKS and len(marks) < MOST_MARKS:
                marks.append(Mark(row["at"], row["what"], self._mark(row["what"], row["why"])))
        attributes: dict[str, Value] = {**life.known, "overnight.task.phase": phase, "overnight.task.runs": runs}
        attributes |= self._about(db, life, event)
        links = ((_before := trace_id(life.task, life.created, life.life - 1), span_id(_before, "task")),)
        yield Span(
            trace=life.trace, id=life.root, name="task", start=begun, end=max(begun, event.at), attributes=attributes,
            error=phase if phase == Phase.FAILED else "", marks=tuple(reversed(marks)),
            links=links if life.life > 1 else (),
        )  # fmt: skip
        yield Measured("overnight.tasks.ended", 1, {"overnight.task.phase": phase, "vcs.repository.name": life.repo})

    def _mark(self, what: str, why: str) -> dict[str, Value]:
        """The phase, or the reason of a hold: the words behind it are somebody's."""
        if what == "task.phase":
            return {"overnight.task.phase": self._words.name(why)}
        return {"overnight.hold.reason": self._words.name(why.partition(":")[0])} if what == "task.held" else {}

    def _about(self, db: sqlite3.Connection, life: _Life, event: Event) -> dict[str, Value]:
        row = db.execute("SELECT input, output, life FROM task WHERE id = ?", (life.task,)).fetchone()
        found: dict[str, Value] = {}
        if (prepared := _step(db, life, "prepare")) is not None:
            ground = decode(prepared.output, Ground)
            found |= self._words.commit("vcs.ref.base.revision", ground.base)
        ending = decode(row["output"], Ending) if row["output"] and row["life"] == life.life else None
        if ending is not None:
            found |= self._words.commit("vcs.ref.head.revision", ending.commit)
        if self._words.content:
            task = decode(row["input"], Task)
            found |= {
                "overnight.task.title": self._words.said(task.title),
                "overnight.task.why": self._words.said(event.why),
            }
        return found

    # -- steps ----------------------------------------------------------------------------------------------

    def _stepped(self, db: sqlite3.Connection, life: _Life, step: _Step) -> Iterator[Span | Measured]:
        match = _NUMBERED.fullmatch(step.name)
        what = match[1] if match else ""
        if what == "run" and match and match[2]:
            yield from self._run(db, life, int(match[2]), step, step.finished)
        elif what in _CHECKS:
            yield self._checked(life, step, what)
        elif what == "judge":
            yield from self._judged(life, step)
        elif what in _LANDINGS:
            yield self._landed(life, step)
        elif what in _PLAIN:
            yield self._span(life, step, what, {})

    def _span(self, life: _Life, step: _Step, name: str, more: dict[str, Value], error: str = "") -> Span:
        return Span(
            trace=life.trace, id=span_id(life.trace, "step", step.name), parent=life.root, name=name,
            start=step.started, end=max(step.started, step.finished), error=error,
            attributes={**life.known, "overnight.step": step.name, **more},
        )  # fmt: skip

    def _checked(self, life: _Life, step: _Step, what: str) -> Span:
        results = decode(step.output, tuple[CheckResult, ...])
        failed = tuple(self._words.name(each.name) for each in results if not each.passed)
        more: dict[str, Value] = {"overnight.checks": len(results), "overnight.checks.failed": failed}
        if results:
            more |= self._words.commit("vcs.ref.head.revision", results[0].commit)
        return self._span(life, step, "check", more, "check" if failed and what != "baseline" else "")

    def _landed(self, life: _Life, step: _Step) -> Span:
        found = decode(step.output, cast("type[Landed | Moved]", Landed | Moved))
        landed = isinstance(found, Landed)
        commit = found.commit if isinstance(found, Landed) else found.now
        more: dict[str, Value] = {"overnight.landed": landed, **self._words.commit("vcs.ref.head.revision", commit)}
        return self._span(life, step, "landing", more, "" if landed else "moved")

    def _judged(self, life: _Life, step: _Step) -> Iterator[Span | Measured]:
        opinions = decode(step.output, tuple[Opinion, ...])
        whole = self._span(life, step, "judge", {"overnight.judges": len(opinions)})
        yield whole
        for each in opinions:
            yield from self._opinion(life, step, whole, each)

    def _opinion(self, life: _Life, step: _Step, whole: Span, each: Opinion) -> Iterator[Span | Measured]:
        """One judge; all of them are asked at the beginning of the step."""
        words, model = self._words, self._words.name(each.model, "unknown")
        known: dict[str, Value] = {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": provider_of(model, each.family),
            "gen_ai.request.model": model,
        }  # fmt: skip
        more: dict[str, Value] = {
            **life.known, "overnight.judge": words.name(each.judge),
            **words.commit("vcs.ref.head.revision", each.commit),
        }  # fmt: skip
        error = "" if each.said else words.name(each.outside.value if each.outside else "no answer")
        if each.said is not None:
            more |= {
                "gen_ai.evaluation.name": "overnight.judge", "gen_ai.evaluation.score.label": each.said.verdict.value,
                "overnight.judge.confidence": each.said.confidence, "overnight.judge.injection": each.said.injection,
            }  # fmt: skip
            if words.content and each.said.verdict is Word.FAIL:
                more["gen_ai.evaluation.explanation"] = words.said("; ".join(each.said.blocking))
        if each.cost is not None:
            more["overnight.cost_usd"] = each.cost
        yield Span(
            trace=life.trace, id=span_id(life.trace, "step", step.name, each.judge), parent=whole.id, client=True,
            name=f"chat {model}", start=step.started, end=step.started + each.took, attributes=known | more, error=error,
        )  # fmt: skip
        yield Measured("gen_ai.client.operation.duration", each.took, known)
        yield _spent(each.cost, {"vcs.repository.name": life.repo, "gen_ai.request.model": model})

    # -- runs -----------------------------------------------------------------------------------------------

    def _run(
        self, db: sqlite3.Connection, life: _Life, n: int, step: _Step | None, ended: float
    ) -> Iterator[Span | Measured]:
        """step: the finished step; without one what its folder says. ended: when it was over at the latest."""
        run, words = f"{life.task}.{life.life}.{n}", self._words
        folder = Path(run_dir(str(self._home), run))
        outcome = decode(step.output, RunOutcome) if step is not None else _outcome(folder)
        opened = _step(db, life, f"open {n}")
        start = (outcome.started if outcome else 0.0) or (
            step.started if step else opened.finished if opened else ended
        )
        end = max(start, (outcome.ended if outcome else 0.0) or ended)
        spec, launch = _object(folder / "spec.json"), _object(folder / "launch.json")
        agent = words.name(spec.get("agent") or "agent")
        bill = outcome.bill if outcome else None
        model = words.name(
            launch.get("model") or spec.get("model") or (bill.models[0].model if bill and bill.models else ""), ""
        )
        known: dict[str, Value] = {
            "gen_ai.operation.name": "invoke_agent", "gen_ai.provider.name": provider_of(model, agent),
            **({"gen_ai.request.model": model} if model else {}),
        }  # fmt: skip
        error = _error(outcome)
        around = Around(
            trace=life.trace, span=span_id(life.trace, "run", run), run=run, repo=life.repo, agent=agent, model=model,
            ended=end,
        )  # fmt: skip
        calls = Calls(around, words)
        yield from calls.read(folder / "events.ndjson")
        yield Span(
            trace=life.trace, id=around.span, parent=life.root, name=f"invoke_agent {agent}", start=start, end=end,
            attributes={**known, **life.known, "gen_ai.agent.name": agent, "overnight.run": n,
                        **self._ran(outcome, spec, launch)}, error=error,
        )  # fmt: skip
        timed: dict[str, Value] = {**known, "error.type": error} if error else known
        yield Measured("gen_ai.client.operation.duration", end - start, timed)
        yield from self._billed(bill, life.repo, known, counted=calls.metered > 0)

    def _billed(self, bill: Bill | None, repo: str, known: dict[str, Value], *, counted: bool) -> Iterator[Measured]:
        """counted: what was used is counted call by call already."""
        if bill is None or bill.source == "none":
            yield _spent(None, {"vcs.repository.name": repo})
            return
        for use in bill.models:
            model: dict[str, Value] = {"gen_ai.request.model": self._words.name(use.model, "unknown")}
            if not counted:
                tokens = use.tokens
                yield from used_by({**known, **model}, tokens.prompt, tokens.output)
            yield _spent(None if use.cost is None else float(use.cost), {"vcs.repository.name": repo, **model})

    def _ran(self, outcome: RunOutcome | None, spec: dict[str, Any], launch: dict[str, Any]) -> dict[str, Value]:
        words, found = self._words, dict[str, Value]()
        for key, value in (
            ("gen_ai.agent.version", launch.get("version")), ("overnight.box", launch.get("box")), ("overnight.route", launch.get("route")),
            ("gen_ai.conversation.id", outcome.session if outcome else None),
        ):  # fmt: skip
            if value and (name := words.name(value, "")):
                found[key] = name
        found |= words.commit("vcs.ref.base.revision", str(spec.get("start") or ""))
        if outcome is None:
            return found
        found |= {"overnight.run.end": outcome.end.value, "overnight.guard.denied": len(outcome.denied)}
        if outcome.calls is not None:
            found["overnight.guard.calls"] = outcome.calls
        if (bill := outcome.bill) is not None and bill.source != "none":
            tokens = bill.tokens
            found |= tokens_of(tokens.prompt, tokens.output, tokens.cache_read, tokens.cache_write)
            if bill.cost is not None:
                found["overnight.cost_usd"] = float(bill.cost)
        if words.content:
            found["overnight.run.why"] = words.said(outcome.why)
            found["gen_ai.input.messages"] = words.message("user", str(spec.get("prompt") or ""))
            found["gen_ai.output.messages"] = words.message("assistant", outcome.said)
        return found


def _spent(dollars: float | None, attributes: dict[str, Value]) -> Measured:
    """Unknown is never zero: it is counted as such."""
    if dollars is None:
        return Measured("overnight.spend.unknown", 1, attributes)
    return Measured("overnight.spend", dollars, attributes)


def _error(outcome: RunOutcome | None) -> str:
    if outcome is None:
        return "unknown"
    if outcome.failure is not None:
        return outcome.failure.value
    return "" if outcome.end in _GOOD else outcome.end.value


def _unfinished(db: sqlite3.Connection, life: _Life) -> Iterator[int]:
    """Runs that were begun and are no finished step."""
    sql = "SELECT name FROM step WHERE task = ? AND life = ? AND (name LIKE 'open %' OR name LIKE 'run %')"
    names = {row["name"] for row in db.execute(sql, (life.task, life.life))}
    for name in sorted(names):
        n = name.removeprefix("open ")
        if n.isdecimal() and f"run {n}" not in names:
            yield int(n)


def _step(db: sqlite3.Connection, life: _Life, name: str) -> _Step | None:
    sql = "SELECT name, output, started, finished FROM step WHERE task = ? AND life = ? AND name = ?"
    row = db.execute(sql, (life.task, life.life, name)).fetchone()
    return _Step(*row) if row else None


def _outcome(folder: Path) -> RunOutcome | None:
    try:
        return decode((folder / "outcome.json").read_bytes(), RunOutcome)
    except (OSError, msgspec.MsgspecError):
        return None


def _object(path: Path) -> dict[str, Any]:
    """A file's JSON object; empty when it is not there or is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _data(event: Event) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(event.data))
