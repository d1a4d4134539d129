"""`overnight show`"""

from __future__ import annotations

import time
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import click

from overnight.cli import home
from overnight.cli.bill import bill_lines, cost_of
from overnight.cli.paper import Paper, Part, say_json
from overnight.cli.status import ASKS, BAD, BUSY, GOOD, doing, state_style, waits
from overnight.cli.words import clock, commit, count, listed, since
from overnight.judge.budget import show_usd
from overnight.judge.risk import Band
from overnight.judge.verdict import Opinion, Word
from overnight.missions.context import ContextUse
from overnight.missions.question import Question
from overnight.missions.run import End
from overnight.missions.units import show_duration
from overnight.ports import Examined
from overnight.report.story import story
from overnight.report.views import CheckView, Moment, RunView, State, TaskStory

#: Lines of the text asked for that are shown; `--json` has all.
TEXT = 12
ROUTES = {
    "gateway": "paid by API key, which stays outside the box",
    "direct": "paid by the CLI's own login",
    "local": "a model server of your own, paid by nobody",
    "none": "no way to a model",
}
_TIME = 11


@click.command
@click.argument("task")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def show(task: str, as_json: bool) -> None:
    """The story of one task: what was asked, every run and check with its proof, holds, landing, evidence."""
    told = story(home.state_folder(), task)
    if as_json:
        say_json(told)
    else:
        draw(told, time.time()).print()


def draw(told: TaskStory, now: float) -> Paper:
    """The story on paper."""
    paper = Paper()
    _head(paper, told, now)
    paper.gap()
    _Timeline(paper, told, now).draw()
    _questions(paper, told.row.questions)
    paper.gap()
    _evidence(paper, told)
    return paper


# -- head ---------------------------------------------------------------------------------------------------


def _head(paper: Paper, told: TaskStory, now: float) -> None:
    row, task = told.row, told.task
    words = row.phase if row.state is State.ENDED else f"{row.state} ({doing(row)})"
    paper.line((task.id, "bold"), "  ", (words, state_style(row)), f"  {task.repo.name} → {task.repo.target}")
    paper.line((task.title, "bold"))
    lines = task.text.strip().splitlines()
    if lines != [task.title]:
        paper.block("\n".join(lines[:TEXT]), indent=2)
        if len(lines) > TEXT:
            paper.line((f"... {len(lines) - TEXT} more lines", "dim"), indent=2)
    for statement in task.acceptance:
        paper.line("must be true at the end: ", statement, indent=2)
    if task.after:
        paper.line(f"begins after {', '.join(task.after)}", indent=2)
    if task.issue is not None:
        paper.line(f"from issue {task.issue.url}", indent=2)
    if told.pull is not None:
        merged = f" as {commit(told.pull.merged)}" if told.pull.merged else ""
        paper.line(f"pull request {told.pull.url} ({told.pull.state}{merged})", indent=2)
    if row.hold is not None:
        paper.line(("held: ", ASKS), waits(row.hold, now))
        if row.hold.until is not None:
            paper.line(("→ ", ASKS), row.hold.releases_on, indent=2)
    if row.ending is not None:
        paper.line((f"{row.phase}: ", state_style(row)), row.ending.why)
        if row.ending.commit and row.ending.commit != told.base:
            on = f" on {row.ending.branch}" if row.ending.branch else ""
            paper.line(f"commit {row.ending.commit}{on}", indent=2)


def _questions(paper: Paper, questions: tuple[Question, ...]) -> None:
    """What runs wanted of a person. The agent's own words are fenced: they are quoted, never followed."""
    if questions:
        paper.gap().line(("wants to know", f"bold {ASKS}"), "  (denied as long as you change nothing)")
    for asked in questions:
        paper.line(asked.text, (f"  [{asked.rule}]", "dim"), indent=2)
        paper.line(("the agent's words: ", "dim"), f"“{' '.join(asked.data.split())}”", indent=4)
        if asked.allow:
            paper.line(f"to allow it from now on, in {asked.where}:", indent=4)
            for line in asked.allow.splitlines():
                paper.line(line, indent=6)
        elif asked.where:
            paper.line(f"{asked.where} decides that", indent=4)


# -- timeline -----------------------------------------------------------------------------------------------


class _Timeline:
    """Moments in order; a step is told by what came out of it."""

    def __init__(self, paper: Paper, told: TaskStory, now: float) -> None:
        self._paper, self._told, self._now = paper, told, now
        self._runs = {(run.life, run.n): run for run in told.runs}
        self._landings = list(told.landings)
        #: Judges that were asked more than once are told of once, with what they said last.
        self._judged_runs: set[str] = set()
        #: Checks that are red on the base: a task is not blamed for them.
        self._red = {check.name for check in told.baseline if not check.passed}

    def draw(self) -> None:
        for moment in self._told.moments:
            if moment.what == "step.done":
                self._step(moment)
            else:
                self._event(moment)
        for run in self._told.runs:  # the one that goes on
            if run.outcome is None and run.life == self._told.row.life:
                self._going_on(run)

    def _at(self, moment: Moment | None, *words: Part) -> None:
        when = clock(moment.at, self._now) if moment else "now"
        self._paper.line(*words, indent=_TIME, lead=(when, "dim"))

    def _event(self, moment: Moment) -> None:
        match moment.what:
            case "task.submitted":
                self._at(moment, f"queued by {moment.who}")
            case "task.held":
                self._at(moment, ("held: ", ASKS), moment.why)
            case "task.released":
                self._at(moment, f"released: {moment.why}")
            case "task.fault":
                self._at(moment, ("Overnight itself failed: ", BAD), moment.why)
            case "task.retried":
                self._at(moment, (f"begun anew by {moment.who} (life {moment.life})", "bold"))
            case "task.restored":
                self._at(moment, ("restored from a backup: ", ASKS), moment.why)
            case "task.ended":
                style = state_style(self._told.row)
                self._at(moment, (f"{self._told.row.phase}: " if moment.life == self._told.row.life else "ended: ", style), moment.why)  # fmt: skip
            case "anomaly.raised":
                self._at(moment, ("unusual: ", ASKS), moment.why)
            case "question.asked":
                self._at(moment, ("asked a person: ", ASKS), moment.why)
            case "signal.sent":
                self._at(moment, f"{moment.why} given by {moment.who}")
            case "pull.opened":
                self._at(moment, "pull request opened as a draft: ", moment.why)
            case "pull.repair":
                self._at(moment, ("to be mended: ", BAD), moment.why)
            case "pull.updated":
                self._at(moment, "target merged in: ", moment.why)
            case "pull.ignored":
                self._at(moment, ("not heeded: ", "dim"), moment.why)
            case "pull.merged":
                self._at(moment, ("merged: ", GOOD), moment.why)
            case "landing.mended":
                self._at(moment, "merged by a person: ", moment.why)
            case "landing.reverted":
                self._at(moment, ("it broke the target: ", BAD), moment.why)
            case what if what.startswith("want."):
                self._at(moment, f"{what.removeprefix('want.')} asked for by {moment.who}")
            case "task.phase" if moment.why in ("preparing", "landing"):
                self._at(moment, (moment.why, "dim"))
            case _:
                pass  # the steps say it

    def _step(self, moment: Moment) -> None:
        what, _, number = moment.why.partition(" ")
        n = int(number.split(".")[0]) if number.split(".")[0].isdecimal() else None
        run = self._runs.get((moment.life, n)) if n is not None else None
        match what:
            case "prepare":
                self._at(moment, f"starts from {commit(self._told.base)} of {self._told.task.repo.target}")
            case "baseline" if moment.life == self._told.row.life:
                self._at(
                    moment,
                    "checks on the base, before any work:" if self._told.baseline else "no checks to run on the base",
                )
                self._checks(self._told.baseline)
            case "open" if run is not None:
                self._at(moment, (f"run {run.n}", f"bold {BUSY}"), f" begins{_started_as(run)}")
                if run.route is not None and run.route.model is not None:
                    tier = f" ({run.route.tier})" if run.route.tier else ""
                    self._more(f"model {run.route.model}{tier}: {'; '.join(run.route.why)}")
            case "run" if run is not None:
                self._ended(moment, run)
            case "collect" if run is not None:
                self._collected(moment, run)
            case "check" if run is not None:
                self._at(
                    moment, f"checks on {commit(run.checks[0].commit)}:" if run.checks else "no checks are configured"
                )
                self._checks(run.checks)
            case "recheck" if run is not None and run.rechecks:
                self._at(moment, f"checks on the merge {commit(run.rechecks[0].commit)}:")
                self._checks(run.rechecks)
            case "examine" if run is not None and run.examined is not None:
                self._examined(moment, run.examined)
            case "judge" if run is not None and run.id not in self._judged_runs:
                self._judged_runs.add(run.id)
                for opinion in run.opinions:
                    self._judged(moment, opinion)
            case "stage" | "land" | "branch":
                self._landed(moment)
            case _:
                pass

    def _ended(self, moment: Moment, run: RunView) -> None:
        outcome = run.outcome
        assert outcome is not None
        style = {End.COMPLETED: GOOD, End.HANDED_OVER: BUSY}.get(outcome.end, BAD)
        took = f" after {show_duration(outcome.ended - outcome.started)}" if outcome.ended and outcome.started else ""
        self._at(moment, f"run {run.n} ", (outcome.end.replace("-", " "), style), f"{took}: {outcome.why}")
        self._more(f"{count(outcome.turns, 'turn')}, {count(outcome.calls, 'tool call')} guarded, {cost_of(outcome)}")
        for line in bill_lines(outcome.bill):
            self._more(line)
        if words := context_words(outcome.context):
            self._more("context: ", words)
        for tool, what, why in outcome.denied:
            self._more(("denied ", BAD), f"{tool} {what}: {why}")
        if outcome.said:
            self._more(("it said: ", "dim"), " ".join(outcome.said.split())[:300])

    def _collected(self, moment: Moment, run: RunView) -> None:
        result = run.result
        assert result is not None
        if result.changed:
            files = count(len(result.changed), "file")
            self._at(moment, f"left commit {commit(result.commit)}, {files} changed: {listed(result.changed)}")
        else:
            self._at(moment, "changed nothing")
        for refused in result.refused:
            self._more(("refused ", BAD), refused)
        if result.rescue:
            self._more(f"uncommitted work is kept on {result.rescue}")

    def _examined(self, moment: Moment, examined: Examined) -> None:
        risk = examined.risk
        style = GOOD if risk.band is Band.LOW else BAD if risk.band is Band.HIGH else "yellow"
        heaviest = "; ".join(each.why for each in risk.factors[:2])
        self._at(moment, "risk ", (f"{risk.score} ({risk.band})", style), f": {heaviest}" if heaviest else "")
        for finding in examined.tampering:
            self._more(("the proof: ", BAD), finding)

    def _judged(self, moment: Moment, opinion: Opinion) -> None:
        said = opinion.said
        if said is None:
            cost = f" ({_paid(opinion)})" if opinion.cost != 0 else ""
            self._at(moment, f"judge {opinion.judge} ", ("gave no verdict", "yellow"), f": {opinion.why}{cost}")
            return
        style = {Word.PASS: GOOD, Word.FAIL: BAD}.get(said.verdict, "yellow")
        self._at(
            moment, f"judge {opinion.judge} ", (said.verdict, style), f", {said.confidence:.0%} sure, {_paid(opinion)}"
        )
        for issue in (*said.blocking, *(f"not shown: {gap}" for gap in said.gaps)):
            self._more(issue)

    def _checks(self, checks: Iterable[CheckView]) -> None:
        for check in checks:
            word = ("passed", GOOD) if check.passed else ("failed", "yellow" if check.name in self._red else BAD)
            how = "ran into its time limit" if check.code is None else f"exit {check.code}"
            known = ", red on the base already" if not check.passed and check.name in self._red else ""
            self._more(
                f"{check.name} ",
                word,
                f" ({how}, {show_duration(check.seconds)}{known}): {check.proof or 'it printed nothing'}",
            )

    def _landed(self, moment: Moment) -> None:
        """Steps of landing and their views come in the same order; a clean stage has nothing to say."""
        name = moment.why.split(" ")
        n = int(name[1].split(".")[0])
        view = next((v for v in self._landings if v.life == moment.life and v.n == n), None)
        if view is None or (name[0] == "stage") != (view.what == "conflict"):
            return
        self._landings.remove(view)
        match view.what:
            case "landed":
                note = f"; {view.note}" if view.note else ""
                self._at(moment, ("landed", GOOD), f" as {commit(view.commit)} on {view.branch}{note}")
            case "moved":
                self._at(moment, f"the target moved to {commit(view.commit)} meanwhile: made again")
            case _:
                self._at(moment, (view.note, BAD), f" with {commit(view.commit)}")

    def _going_on(self, run: RunView) -> None:
        last = f"; last: {run.last.text}" if run.last else ""
        self._at(None, (f"run {run.n} goes on", BUSY), f" for {since(run.begun, self._now)}{last}")

    def _more(self, *words: Part) -> None:
        self._paper.line(*words, indent=_TIME + 2)


def _paid(opinion: Opinion) -> str:
    """What a verdict cost, as it counts."""
    if opinion.cost is None:
        return "cost unknown: it counts at the judge's whole allowance"
    return f"{show_usd(Decimal(str(opinion.cost)))}, {show_duration(opinion.took)}"


def _started_as(run: RunView) -> str:
    facts = run.launch
    if facts is None:
        return ""
    what = f"{facts.agent or 'unknown agent'} {facts.version or '(version unknown)'}"
    route = ROUTES.get(facts.route or "", f"route {facts.route or 'unknown'}")
    return f": {what}, model {facts.model or 'of its own choice'}, {route}, box {facts.box or 'unknown'}"


def context_words(use: ContextUse | None) -> str:
    """How full a run's context was, and how often it was cut; empty where nobody saw it."""
    if use is None:
        return ""
    words = [f"{use.tokens:,} of {use.window:,} tokens"] if use.tokens else []
    if use.compactions:
        words.append(f"cut and summed up {times(use.compactions)}")
    if use.compactions and use.restored is None:
        words.append("on this route nobody sees what was put back")
    if use.lost:
        words.append(f"missing {times(use.lost)} after a cut")
    if use.checkpoint:
        words.append(f"checkpoint {use.checkpoint}")
    return "; ".join([*words, *use.troubles])


def times(n: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(n, f"{n} times")


# -- evidence -----------------------------------------------------------------------------------------------


def _evidence(paper: Paper, told: TaskStory) -> None:
    rows = list[list[str]]()
    for run in told.runs:
        rows.append(
            [f"run {run.life}.{run.n}", run.folder if Path(run.folder).is_dir() else f"{run.folder} (not there)"]
        )
        if run.result is not None and run.result.changed:
            rows.append(["", run.result.ref])
        rows += [["", check.log] for check in (*run.checks, *run.rechecks) if not check.passed and check.log]
    ending = told.row.ending
    if ending is not None and ending.rescue:
        rows.append(["work kept on", ending.rescue])
    if rows:
        paper.line(("Evidence", "bold"))
        paper.grid(rows, indent=2)
