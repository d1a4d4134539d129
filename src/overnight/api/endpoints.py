"""Every operation of the API in one table: what it takes, what it gives, what it does. Routes and `/openapi.json` are
made of this."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from msgspec import Struct

from overnight.api import acts, looks
from overnight.api.jobs import Job
from overnight.api.shapes import (
    Added,
    Answer,
    Approve,
    AuditQuery,
    Diff,
    Done,
    EventList,
    Explain,
    Explained,
    LevelRow,
    Lift,
    Log,
    LogQuery,
    NewLevel,
    NewLimit,
    NewTask,
    NightQuery,
    Nothing,
    OldLimit,
    Reject,
    ReplayOf,
    RepoQuery,
    RunQuery,
    Scope,
    StatusQuery,
    TasksQuery,
    UsageQuery,
    Versions,
)
from overnight.api.site import Health, Site
from overnight.audit.shown import CallView
from overnight.errors import BadState, UnknownTask
from overnight.judge.evidence import Evidence
from overnight.judge.risk import Risk
from overnight.judge.routing import Line
from overnight.missions.task import Repo
from overnight.people.inbox import Item
from overnight.ports import Examined
from overnight.report.brief import Brief, NightRow
from overnight.report.budget import BudgetView, budget
from overnight.report.find import repo_named
from overnight.report.inbox import inbox
from overnight.report.limits import LimitsView, limits
from overnight.report.nights import nights
from overnight.report.notify import TargetView, targets
from overnight.report.now import NowView
from overnight.report.routes import routes
from overnight.report.schedule import Schedule
from overnight.report.status import repos, status
from overnight.report.story import story
from overnight.report.tasks import TaskPage, tasks
from overnight.report.usage import UsageView
from overnight.report.verified import Verified
from overnight.report.views import StatusView, TaskRow, TaskStory

#: What a part of an address may be: never a path.
PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,199}")
_NONE = "A task is named by its id, or by any unique beginning of it."


#: What looks at a person's rights itself, or needs none; everything else that is no look needs `manage`.
OWN_RIGHTS = frozenset({
    "post_tasks_task_pause", "post_tasks_task_resume", "post_tasks_task_stop", "post_tasks_task_answer",
    "post_tasks_task_approve", "post_tasks_task_reject", "post_inbox_item_answer", "post_pause", "post_resume",
    "post_stop", "post_guard_explain",
})  # fmt: skip


class Asked(NamedTuple):
    """One request, as the operation sees it."""

    site: Site
    #: `api` or `web`, and `:NAME` of whom is logged in by name: for the record, and for their rights.
    actor: str
    #: The part of the address that is not fixed; empty where all of it is.
    name: str
    query: Any
    body: Any


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked for."""

    method: str
    #: `{task}`, `{account}`: filled by `name`.
    path: str
    summary: str
    do: Callable[[Asked], Any]
    answer: Any
    query: type[Struct] = Nothing
    body: type[Struct] | None = None
    status: int = 200
    #: What it answers with; anything but JSON is a text.
    media: str = "application/json"

    @property
    def id(self) -> str:
        """`get_task_log`"""
        words = re.sub(r"[{}]", "", self.path.removeprefix("/api/")).replace("/", "_").replace("-", "_")
        return f"{self.method.lower()}_{words}"


def _status(ask: Asked) -> StatusView:
    now = time.time()
    repo = repo_named(ask.site.home, ask.query.repo).name if ask.query.repo is not None else None
    return status(ask.site.home, now, now - ask.query.since, repo, ask.query.limit)


def _holds(ask: Asked) -> tuple[TaskRow, ...]:
    view = ask.site.now()
    rows = [row for row in (*view.needs_person, *view.waiting) if row.hold is not None]
    return tuple(sorted(rows, key=lambda row: (not (row.hold and row.hold.needs_person), row.since, row.id)))


def _tasks(ask: Asked) -> TaskPage:
    q: TasksQuery = ask.query
    return tasks(
        ask.site.home, state=q.state, phase=q.phase, repo=q.repo, words=q.q, offset=q.offset, most=q.limit
    )  # fmt: skip


def _examined(ask: Asked) -> tuple[TaskStory, Examined]:
    told = story(ask.site.home, ask.name)
    examined = looks.examined_of(told)
    if examined is None:
        raise BadState(
            task=told.row.id, state=told.row.phase, verb="examine", next="No result of it has passed its checks yet."
        )
    return told, examined


def _task_events(ask: Asked) -> EventList:
    name = story(ask.site.home, ask.name).row.id
    return EventList(events=looks.events(ask.site, ask.query.offset, ask.query.limit, name))


def _inbox(ask: Asked) -> tuple[Item, ...]:
    return inbox(ask.site.home, None if ask.query.repo is None else repo_named(ask.site.home, ask.query.repo).name)


def _levels(ask: Asked) -> tuple[LevelRow, ...]:
    home, name = ask.site.home, ask.query.repo
    known = repos(home) if name is None else (repo_named(home, name),)
    return tuple(row for repo in known for row in ask.site.machine.levels(repo))


def _job(ask: Asked) -> Job:
    found = ask.site.jobs.get(ask.name)
    if found is None:
        raise UnknownTask(task=ask.name, hint="")
    return found


OPERATIONS: tuple[Operation, ...] = (
    # -- look
    Operation("GET", "/api/status", "What needs you, what goes on, what ended, for each repo.", _status, StatusView, StatusQuery),
    Operation("GET", "/api/now", "The same for all repos together, with counts: quick at any size.", lambda a: a.site.now(), NowView),
    Operation("GET", "/api/health", "Whether daemon and server are well.", lambda a: a.site.health(), Health),
    Operation("GET", "/api/repos", "The registered repos.", lambda a: repos(a.site.home), tuple[Repo, ...]),
    Operation("GET", "/api/holds", "What is held, why, and what releases it.", _holds, tuple[TaskRow, ...]),
    Operation("GET", "/api/tasks", "Tasks, page by page, the latest change first.", _tasks, TaskPage, TasksQuery),
    Operation("GET", "/api/tasks/{task}", "The story of one task. " + _NONE, lambda a: story(a.site.home, a.name), TaskStory),
    Operation("GET", "/api/tasks/{task}/log", "What a run did, line by line.", lambda a: looks.log(a.site, a.name, a.query), Log, LogQuery),
    Operation("GET", "/api/tasks/{task}/diff", "What a run changed.",
              lambda a: looks.diff(a.site, story(a.site.home, a.name), a.query.run), Diff, RunQuery),
    Operation("GET", "/api/tasks/{task}/evidence", "What is known about the latest examined result.",
              lambda a: looks.evidence(a.site, *_examined(a)), Evidence),
    Operation("GET", "/api/tasks/{task}/risk", "Every point of that result's risk.", lambda a: _examined(a)[1].risk, Risk),
    Operation("GET", "/api/tasks/{task}/events", "What happened to it; `offset` is the last event's number.", _task_events, EventList, LogQuery),
    Operation("GET", "/api/usage", "What models were used for, and its worth.", lambda a: looks.usage(a.site, a.query), UsageView, UsageQuery),
    Operation("GET", "/api/routes", "Which model did what, how well and for how much.", lambda a: routes(a.site.home), tuple[Line, ...]),
    Operation("GET", "/api/limits", "What vendors allow, how much is used, whether they work.",
              lambda a: limits(a.site.home, a.site.machine.ceilings, time.time()), LimitsView),
    Operation("GET", "/api/budget", "What may be spent and what was.",
              lambda a: budget(a.site.home, a.site.machine.budget, time.time()), BudgetView),
    Operation("GET", "/api/report", "What a night brought.", lambda a: looks.brief(a.site, a.query.night), Brief, NightQuery),
    Operation("GET", "/api/nights", "Every night whose brief is kept.", lambda a: nights(a.site.home), tuple[NightRow, ...]),
    Operation("GET", "/api/report/markdown", "The same to be read.",
              lambda a: looks.written(a.site, a.query.night, "markdown"), str, NightQuery, media="text/markdown"),
    Operation("GET", "/api/report/html", "The same as a page that needs nothing else.",
              lambda a: looks.written(a.site, a.query.night, "html"), str, NightQuery, media="text/html"),
    Operation("GET", "/api/inbox", "Everything that you are asked, whole.", _inbox, tuple[Item, ...], RepoQuery),
    Operation("GET", "/api/schedule", "What comes by itself, and when.", lambda a: looks.coming(a.site), Schedule),
    Operation("GET", "/api/levels", "How much may happen without you, for each repo and kind of work.", _levels, tuple[LevelRow, ...], RepoQuery),
    Operation("GET", "/api/notify", "Who is told, and how that goes.",
              lambda a: targets(a.site.home, a.site.machine.notify.targets), tuple[TargetView, ...]),
    Operation("GET", "/api/tasks/{task}/audit", "Its calls as the audit has them.", lambda a: looks.audited(a.site, a.name, a.query), tuple[CallView, ...], AuditQuery),
    Operation("GET", "/api/version", "What is at work.", lambda _: looks.versions(), Versions),
    Operation("GET", "/api/journal", "Whether the journal's chain holds, as far as it was followed; asked again, it is followed on.",
              lambda a: a.site.chain(), Verified),
    Operation("GET", "/api/jobs", "Long work: what goes on, and what came of the last of each.", lambda a: a.site.jobs.all(), tuple[Job, ...]),
    Operation("GET", "/api/jobs/{job}", "One of them.", _job, Job),
    # -- steer
    Operation("POST", "/api/tasks", "Put a task on the queue.", lambda a: acts.add(a.site, a.body, a.actor), Added, body=NewTask, status=201),
    Operation("POST", "/api/tasks/{task}/pause", "Let nothing new start for it.", lambda a: acts.pause(a.site, a.name, a.actor), Done),
    Operation("POST", "/api/tasks/{task}/resume", "Take back a pause, or try it again now.", lambda a: acts.resume(a.site, a.name, a.actor), Done),
    Operation("POST", "/api/tasks/{task}/stop", "End what runs, keep its work, and pause.", lambda a: acts.stop(a.site, a.name, a.actor), Done),
    Operation("POST", "/api/tasks/{task}/cancel", "End it for good; its work is kept on a ref.", lambda a: acts.cancel(a.site, a.name, a.actor), Done),
    Operation("POST", "/api/tasks/{task}/retry", "Begin it anew, if it ended without landing.", lambda a: acts.retry(a.site, a.name, a.actor), Done),
    Operation("POST", "/api/tasks/{task}/answer", "Answer what it asks.",
              lambda a: acts.answer(a.site, a.name, a.body.text, a.actor), Done, body=Answer),
    Operation("POST", "/api/tasks/{task}/approve", "Let exactly this commit land.",
              lambda a: acts.approve(a.site, a.name, a.body, a.actor), Done, body=Approve),
    Operation("POST", "/api/tasks/{task}/reject", "Say no to exactly this commit.",
              lambda a: acts.reject(a.site, a.name, a.body, a.actor), Done, body=Reject),
    Operation("POST", "/api/tasks/{task}/replay", "Run a recorded run again, at no cost; a job.",
              lambda a: acts.replay(a.site, a.name, a.body.run, a.actor), Job, body=ReplayOf, status=202),
    Operation("POST", "/api/inbox/{item}/answer", "Answer one thing of the inbox, also a denied call.",
              lambda a: acts.answer_item(a.site, a.name, a.body.text, a.actor), Done, body=Answer),
    Operation("PUT", "/api/levels", "Set a level, or have it begin anew.", lambda a: acts.set_level(a.site, a.body, a.actor), Done, body=NewLevel),
    Operation("POST", "/api/jobs/{job}", "Begin `audit` (prove it) or `doctor` (look the machine over).",
              lambda a: acts.begin(a.site, a.name, a.actor), Job, status=202),
    Operation("POST", "/api/pause", "Let nothing new start, anywhere or in one repo.",
              lambda a: acts.pause_all(a.site, a.body.repo, a.actor), Done, body=Scope),
    Operation("POST", "/api/resume", "Take back the pauses that people made.",
              lambda a: acts.resume_all(a.site, a.body.repo, a.actor), Done, body=Scope),
    Operation("POST", "/api/stop", "End everything that runs; nothing new starts.", lambda a: acts.stop_all(a.site, a.actor), Done),
    Operation("PUT", "/api/budget", "Set a limit of spending.", lambda a: acts.set_budget(a.site, a.body, a.actor), Done, body=NewLimit),
    Operation("DELETE", "/api/budget", "Take back a limit that was set.", lambda a: acts.unset_budget(a.site, a.query, a.actor), Done, OldLimit),
    Operation("POST", "/api/limits/lift", "Let runs use what is kept free for you.", lambda a: acts.lift(a.site, a.body, a.actor), Done, body=Lift),
    Operation("POST", "/api/limits/restore", "The ceilings hold again.", lambda a: acts.restore(a.site, a.actor), Done),
    Operation("POST", "/api/limits/forget/{account}", "Forget what is known of an account.",
              lambda a: acts.forget(a.site, a.name, a.actor), Done),
    Operation("POST", "/api/guard/explain", "What the guard makes of a command; nothing of it is run.",
              lambda a: looks.explain(a.site, a.body), Explained, body=Explain),
)  # fmt: skip
