"""A task's story as a line of items: what happened, when, with its proof. The same moments as `overnight show`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from overnight.dashboard.words import Say, money, short, span
from overnight.judge.risk import Band
from overnight.judge.verdict import Word
from overnight.missions.run import End
from overnight.ports import Examined
from overnight.report.views import CheckView, LandingView, Moment, RunView, State, TaskStory

Tone = Literal["", "good", "warn", "bad", "busy", "dim"]


#: Its tone, and its words.
Line = tuple[str, str]
Lines = tuple[Line, ...]
_BANDS: dict[Band, Tone] = {Band.LOW: "good", Band.MEDIUM: "warn", Band.HIGH: "bad"}
_ENDS: dict[End, Tone] = {End.COMPLETED: "good", End.HANDED_OVER: "busy"}
_WORDS: dict[Word, Tone] = {Word.PASS: "good", Word.FAIL: "bad"}


class Item(Struct, frozen=True, kw_only=True):
    """One line of the story."""

    #: Epoch seconds; null is now.
    at: float | None
    title: str
    tone: Tone = ""
    #: Key of what it is: event, run, checks, risk, judge, land, hold.
    kind: str = "event"
    detail: Lines = ()
    checks: tuple[CheckView, ...] = ()
    run: RunView | None = None
    life: int = 1


def timeline(told: TaskStory, say: Say) -> tuple[Item, ...]:
    """Every item, oldest first."""
    return tuple(_Line(told, say).items())


class _Line:
    def __init__(self, told: TaskStory, say: Say) -> None:
        self._told, self._say = told, say
        self._runs = {(run.life, run.n): run for run in told.runs}
        self._landings = list(told.landings)
        self._red = {check.name for check in told.baseline if not check.passed}

    def items(self) -> Iterator[Item]:
        for moment in self._told.moments:
            yield from self._step(moment) if moment.what == "step.done" else self._event(moment)
        for run in self._told.runs:
            if run.outcome is None and run.life == self._told.row.life and self._told.row.state is not State.ENDED:
                last = ((("dim", run.last.text),) if run.last else ())  # fmt: skip
                yield Item(
                    at=None, kind="run", tone="busy", title=self._say("Run {n} goes on", n=run.n), detail=last, run=run
                )

    def _event(self, m: Moment) -> Iterator[Item]:
        say = self._say
        match m.what:
            case "task.submitted":
                yield self._item(m, say("Queued by {who}", who=m.who))
            case "task.held":
                reason, _, why = m.why.partition(": ")
                yield self._item(m, say("Held: {reason}", reason=say(reason)), "warn", kind="hold", detail=(("", why),))
            case "task.released":
                yield self._item(m, say("Goes on: {why}", why=m.why), "dim")
            case "task.fault":
                yield self._item(m, say("Overnight itself failed"), "bad", detail=(("", m.why),))
            case "task.retried":
                yield self._item(m, say("Begun anew by {who}", who=m.who), kind="life")
            case "task.ended":
                row = self._told.row
                phase = row.phase if m.life == row.life else "ended"
                tone: Tone = "good" if phase == "landed" else "bad" if phase in ("failed", "rejected") else "dim"
                yield self._item(m, say(phase.capitalize()), tone, kind="end", detail=(("", m.why),))
            case "question.asked":
                yield self._item(m, say("Asked a person"), "warn", detail=(("", m.why),))
            case "signal.sent" if m.why in ("decision", "answer"):
                yield self._item(m, say("{what} given by {who}", what=say(m.why.capitalize()), who=m.who))
            case what if what.startswith("want."):
                want = say(what.removeprefix("want.").capitalize())
                yield self._item(m, say("{what} asked for by {who}", what=want, who=m.who), "warn")
            case _:
                pass

    def _item(
        self, m: Moment, title: str, tone: Tone = "", *, kind: str = "event",
        detail: Lines = (), checks: tuple[CheckView, ...] = (), run: RunView | None = None,
    ) -> Item:  # fmt: skip
        detail = tuple(line for line in detail if line[1])
        return Item(at=m.at, title=title, tone=tone, kind=kind, detail=detail, checks=checks, run=run, life=m.life)

    def _step(self, m: Moment) -> Iterator[Item]:
        say, told = self._say, self._told
        what, _, number = m.why.partition(" ")
        first = number.partition(".")[0]
        run = self._runs.get((m.life, int(first))) if first.isdecimal() else None
        match what:
            case "prepare":
                base = say("Starts from {commit} of {branch}", commit=short(told.base), branch=told.task.repo.target)
                yield self._item(m, base)
            case "baseline" if m.life == told.row.life and told.baseline:
                yield self._item(
                    m, say("Checks before any work"), self._checks(told.baseline), kind="checks", checks=told.baseline
                )
            case "open" if run is not None:
                yield self._opened(m, run)
            case "run" if run is not None and run.outcome is not None:
                yield self._ended(m, run)
            case "collect" if run is not None and run.result is not None:
                yield self._collected(m, run)
            case "check" if run is not None and run.checks:
                title = say("Checks on {commit}", commit=short(run.checks[0].commit))
                yield self._item(m, title, self._checks(run.checks), kind="checks", checks=run.checks)
            case "recheck" if run is not None and run.rechecks:
                title = say("Checks on the merge {commit}", commit=short(run.rechecks[0].commit))
                yield self._item(m, title, self._checks(run.rechecks), kind="checks", checks=run.rechecks)
            case "examine" if run is not None and run.examined is not None:
                yield self._examined(m, run.examined)
            case "judge" if run is not None:
                yield from self._judged(m, run)
            case "stage" | "land" | "branch":
                yield from self._landed(m, what, int(first) if first.isdecimal() else 0)
            case _:
                pass

    def _checks(self, checks: Iterable[CheckView]) -> Tone:
        failed = [check for check in checks if not check.passed]
        return "good" if not failed else "warn" if all(check.name in self._red for check in failed) else "bad"

    def _opened(self, m: Moment, run: RunView) -> Item:
        facts, lines = run.launch, list[Line]()
        if facts is not None:
            box = self._say("box {box}", box=facts.box or "?")
            model = facts.model or self._say("its own choice of model")
            lines.append(
                ("dim", f"{facts.agent or '?'} {facts.version or ''} · {model} · {facts.route or '?'} · {box}")
            )
        if run.route is not None and run.route.model is not None:
            lines.append(("dim", f"{run.route.model}: {'; '.join(run.route.why)}"))
        return self._item(m, self._say("Run {n} begins", n=run.n), "busy", kind="run", detail=tuple(lines), run=run)

    def _ended(self, m: Moment, run: RunView) -> Item:
        outcome = run.outcome
        assert outcome is not None
        tone = _ENDS.get(outcome.end, "bad")
        took = span(outcome.ended - outcome.started) if outcome.ended and outcome.started else "?"
        cost = money(outcome.bill.cost if outcome.bill is not None else outcome.usage.cost_usd)
        lines = list[Line]()
        turns = "?" if outcome.turns is None else outcome.turns
        lines.append(("dim", self._say("{took} · {turns} turns · {calls} tool calls · {cost}", took=took, turns=turns,
                                       calls="?" if outcome.calls is None else outcome.calls, cost=cost)))  # fmt: skip
        lines.append(("", outcome.why))
        lines += [
            ("bad", self._say("Denied: {call}", call=f"{tool} {what} — {why}")) for tool, what, why in outcome.denied
        ]
        if outcome.said:
            lines.append(("dim", self._say("It said: “{words}”", words=" ".join(outcome.said.split())[:300])))
        title = self._say("Run {n}: {end}", n=run.n, end=self._say(str(outcome.end).replace("-", " ")))
        return self._item(m, title, tone, kind="run", detail=tuple(lines))

    def _collected(self, m: Moment, run: RunView) -> Item:
        result = run.result
        assert result is not None
        lines = list[Line]()
        if result.changed:
            rest = len(result.changed) - 8
            lines.append(("", ", ".join(result.changed[:8]) + (f" +{rest}" if rest > 0 else "")))
        lines += [("bad", self._say("Refused: {what}", what=str(refused))) for refused in result.refused]
        if not result.changed:
            return self._item(m, self._say("Changed nothing"), "warn", detail=tuple(lines))
        title = self._say("Files changed: {n} in {commit}", n=len(result.changed), commit=short(result.commit))
        return self._item(m, title, kind="result", detail=tuple(lines))

    def _examined(self, m: Moment, examined: Examined) -> Item:
        risk = examined.risk
        tone = _BANDS[risk.band]
        lines: list[Line] = [("bad", finding) for finding in examined.tampering]
        lines += [("dim", f"{each.points:+.0f} {each.why}") for each in risk.factors[:3]]
        title = self._say("Risk {score}, {band}", score=risk.score, band=self._say(str(risk.band)))
        return self._item(m, title, tone, kind="risk", detail=tuple(lines))

    def _judged(self, m: Moment, run: RunView) -> Iterator[Item]:
        for opinion in run.opinions:
            if opinion.said is None:
                yield self._item(
                    m,
                    self._say("Judge {name} gave no verdict", name=opinion.judge),
                    "warn",
                    kind="judge",
                    detail=(("", opinion.why),),
                )
                continue
            tone = _WORDS.get(opinion.said.verdict, "warn")
            title = self._say("Judge {name}: {verdict}, {sure} sure", name=opinion.judge, verdict=str(opinion.said.verdict),
                              sure=f"{opinion.said.confidence:.0%}")  # fmt: skip
            yield self._item(m, title, tone, kind="judge", detail=tuple(("", each) for each in opinion.said.blocking))

    def _landed(self, m: Moment, what: str, n: int) -> Iterator[Item]:
        view = next((each for each in self._landings if each.life == m.life and each.n == n), None)
        if view is None or (what == "stage") != (view.what == "conflict"):
            return
        self._landings.remove(view)
        yield self._landing(m, view)

    def _landing(self, m: Moment, view: LandingView) -> Item:
        note: Lines = (("", view.note),) if view.note else ()
        if view.what == "landed":
            title = self._say("Landed as {commit} on {branch}", commit=short(view.commit), branch=view.branch or "?")
            return self._item(m, title, "good", kind="land", detail=note)
        if view.what == "moved":
            return self._item(
                m,
                self._say("The target moved to {commit} meanwhile: made again", commit=short(view.commit)),
                "dim",
                kind="land",
            )
        return self._item(
            m, self._say("Conflict with {commit}", commit=short(view.commit)), "bad", kind="land", detail=note
        )
