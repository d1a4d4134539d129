"""What people and programs may have done. Everything goes through the daemon; pauses and stops work without one too."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import time
import unicodedata

from msgspec.structs import replace

from overnight.api.jobs import Job
from overnight.api.shapes import Added, Approve, Done, Lift, NewLevel, NewLimit, NewTask, OldLimit, Reject
from overnight.api.site import Site
from overnight.durable import pauses
from overnight.durable.limits import BREAKER, CEILING, LIFTED, WINDOWS
from overnight.errors import BadInput, BadState, DaemonUnreachable, NotDecided, NotYours, StateNotWritable, UnknownAgent
from overnight.flows.task import WORK
from overnight.judge.autonomy import LEVEL, Override, level_key
from overnight.landing.text import one_line
from overnight.missions.approval import NEEDS, Action, Redeemed, Refusal, Right
from overnight.missions.codec import builtins
from overnight.missions.hold import UNTIL_IT_WORKS, HoldReason
from overnight.missions.judging import BLOCKED
from overnight.missions.money import Amount
from overnight.missions.task import Phase, Repo, Task
from overnight.missions.units import Money, show_duration
from overnight.people.operators import CLI, WEB, cli_operator, may, person_in
from overnight.people.verbs import read_redeemed
from overnight.ports import Examined
from overnight.report.find import repo_named, task_id
from overnight.report.inbox import find_item
from overnight.report.limits import limits
from overnight.report.status import read_pauses, repos, unended
from overnight.report.story import story
from overnight.report.views import State, TaskRow, TaskStory

ASKS = (HoldReason.NEEDS_APPROVAL, HoldReason.JUDGES_DISAGREE)
#: Seconds that a ticket is good for which is used at once.
AT_ONCE_S = 60.0
TITLE, SLUG, RANDOM = 100, 32, 4
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
#: What tasks wait with until a limit passes or their account works.
_WAITS = (HoldReason.LIMIT_REACHED, *UNTIL_IT_WORKS)


# -- tasks --------------------------------------------------------------------------------------------------


def add(site: Site, new: NewTask, actor: str) -> Added:
    """Put a task on the queue. With a key: asked twice, one task comes of it."""
    allowed(site, actor, Right.MANAGE)
    if not new.text.strip() or "\0" in new.text:
        raise BadInput(problem="The task has no text. Say in `text` what you want.")
    repo = _repo(site, new.repo)
    title = _title(new.title or new.text)
    task = Task(
        id=_id(title, f"{repo.name}\0{new.key}" if new.key else None),
        repo=repo,
        title=title,
        text=new.text,
        acceptance=new.accept,
        after=tuple(_before(site, each) for each in new.after),
        priority=new.priority,
        landing=new.landing,
        agent=_agent(new.agent),
        model=new.model,
        tier=new.tier,
        paths=_globs(new.paths),
        attempts=new.attempts,
        as_is=new.as_is,
    )
    unclear = site.machine.admit(repo, task)
    while not site.ask(
        "submit", actor, id=task.id, flow="task", lane=repo.name, input=builtins(task), phase=Phase.QUEUED,
        priority=task.priority, pool=WORK, why=task.title,
    ):  # fmt: skip
        if new.key is not None:
            there = story(site.home, task.id).task
            if there != task:
                raise BadInput(problem=f"The key {new.key!r} was used for another task: {there.id}. Use a new one.")
            break
        task = replace(task, id=_id(title, None))
    return Added(id=task.id, title=title, repo=repo.name, unclear=unclear)


def _repo(site: Site, name: str | None) -> Repo:
    if name is not None:
        return repo_named(site.home, name)
    known = repos(site.home)
    if len(known) == 1:
        return known[0]
    if not known:
        raise BadInput(
            problem="No repo is registered yet. `overnight init` in a repository proposes checks and adds it."
        )
    raise BadInput(problem=f"Name a repo in `repo`: {', '.join(repo.name for repo in known[:10])}.")


def _title(text: str) -> str:
    lines = (one_line(line.lstrip("# "), TITLE) for line in text.splitlines())
    return next((line for line in lines if line), "task")


def _id(title: str, key: str | None) -> str:
    """`Fix the login!` -> `fix-the-login-7k3f`; with a key always the same."""
    ascii_title = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    slug = "-".join(re.findall(r"[a-z0-9]+", ascii_title))[:SLUG].strip("-") or "task"
    if key is None:
        return f"{slug}-{''.join(secrets.choice(_BASE32) for _ in range(RANDOM))}"
    digest = hashlib.sha256(key.encode()).digest()
    return f"api-{''.join(_BASE32[byte % 32] for byte in digest[:12])}"


def _before(site: Site, name: str) -> str:
    row = story(site.home, task_id(site.home, name)).row
    if row.state is State.ENDED and row.phase != Phase.LANDED:
        raise BadInput(problem=f"{row.id} has ended as {row.phase}, so nothing can begin after it. Retry it first.")
    return row.id


def _agent(name: str | None) -> str | None:
    from overnight.agents import AGENTS

    if name is not None and name not in AGENTS:
        raise UnknownAgent(agent=name, known=", ".join(AGENTS))
    return name


def _globs(paths: tuple[str, ...]) -> tuple[str, ...]:
    for path in paths:
        if not path or path.startswith(("/", "!", "./")) or ".." in path.split("/"):
            raise BadInput(problem=f"`paths` takes globs from the root of the repository, not {path!r}.")
    return tuple(f"{path}**" if path.endswith("/") else path for path in paths)


# -- steering -----------------------------------------------------------------------------------------------


def pause(site: Site, task: str, actor: str) -> Done:
    """Let nothing new start for one task."""
    allowed(site, actor, Right.PAUSE, task)
    name = task_id(site.home, task)
    site.ask("want", actor, task=name, want="pause")
    return Done(task=name, message=f"{name} pauses before its next step.")


def resume(site: Site, task: str, actor: str) -> Done:
    """Take back a pause, or try a held task again now."""
    allowed(site, actor, Right.PAUSE, task)
    name = task_id(site.home, task)
    site.ask("resume", actor, task=name)
    return Done(task=name, message=f"{name} goes on.")


def stop(site: Site, task: str, actor: str) -> Done:
    """End what runs, keep its work, and pause."""
    allowed(site, actor, Right.PAUSE, task)
    return _end(site, task, actor, "stop", "ends what runs and pauses")


def cancel(site: Site, task: str, actor: str) -> Done:
    """End a task for good; its work is kept on a ref."""
    allowed(site, actor, Right.MANAGE, task)
    return _end(site, task, actor, "cancel", "is being cancelled")


def _end(site: Site, task: str, actor: str, want: str, words: str) -> Done:
    from overnight.fleet.kill import end_runs

    name = task_id(site.home, task)
    site.ask("want", actor, task=name, want=want)
    end_runs(site.home, f"a person asked for it ({want})", [name])
    return Done(task=name, message=f"{name} {words}.")


def retry(site: Site, task: str, actor: str) -> Done:
    """Begin a task anew that ended without landing."""
    allowed(site, actor, Right.MANAGE, task)
    name = task_id(site.home, task)
    life = site.ask("retry", actor, task=name, phase=Phase.QUEUED, good=Phase.LANDED)
    return Done(task=name, message=f"{name} is queued again (life {life}).")


def pause_all(site: Site, repo: str | None, actor: str) -> Done:
    """Nothing new starts, anywhere or in one repo. Needs no daemon."""
    allowed(site, actor, Right.PAUSE)
    lane = repo_named(site.home, repo).name if repo is not None else ""
    _write_pause(site, lane, actor, drain=True)
    return Done(message=f"Nothing new starts{f' in {lane}' if lane else ''}; what runs goes on to its end.")


def stop_all(site: Site, actor: str) -> Done:
    """End everything that runs; nothing new starts either. Needs no daemon."""
    allowed(site, actor, Right.PAUSE)
    from overnight.fleet.kill import end_runs

    _write_pause(site, "", actor, drain=False)
    came = end_runs(site.home, "a person stopped everything", None)
    count = len(came.ended) + len(came.killed)
    for row in unended(site.home):
        if row.state is State.ACTIVE and row.run is not None and site.health().state == "up":
            site.ask("want", actor, task=row.id, want="stop")
    return Done(message=f"Nothing new starts. Runs ended: {count}, within {show_duration(came.seconds)}.")


def resume_all(site: Site, repo: str | None, actor: str) -> Done:
    """Take back all pauses that people made, everywhere or in one repo. Needs no daemon for those of files."""
    allowed(site, actor, Right.PAUSE)
    lane = repo_named(site.home, repo).name if repo is not None else None
    try:
        for each in read_pauses(site.home):
            if lane is None or each.repo == lane:
                pauses.resume(site.home, each.repo or "")
    except OSError as error:
        raise StateNotWritable(path=site.home, reason=error) from error
    _heed(site, actor)
    rows = [row for row in unended(site.home) if _paused(row) and (lane is None or row.repo == lane)]
    for row in rows:
        site.ask("resume", actor, task=row.id)
    return Done(message=f"{lane or 'Everything'} goes on.")


def _paused(row: TaskRow) -> bool:
    return row.want in ("pause", "stop") or (row.hold is not None and row.hold.reason == HoldReason.PAUSED)


def _write_pause(site: Site, lane: str, actor: str, *, drain: bool) -> None:
    try:
        pauses.pause(site.home, lane, by=actor, drain=drain)
    except OSError as error:
        raise StateNotWritable(path=site.home, reason=error) from error
    _heed(site, actor)


def _heed(site: Site, actor: str) -> None:
    """The file is the truth: a daemon that is not there sees it when it comes."""
    try:
        site.ask("heed", actor)
    except DaemonUnreachable:
        site.pulse.touch()


# -- deciding -----------------------------------------------------------------------------------------------


def answer(site: Site, task: str, words: str, actor: str) -> Done:
    """Answer a task that asks."""
    allowed(site, actor, Right.ANSWER, task)
    told = story(site.home, task)
    row = told.row
    if not words.strip():
        raise BadInput(problem="The answer is empty. Say what the task needs to know.")
    if row.hold is None or row.hold.reason != HoldReason.NEEDS_ANSWER:
        raise BadState(task=row.id, state=_doing(row), verb="answer", next="It asks nothing now.")
    given = read_redeemed(site.ask("answer", actor, ask=row.id, words=words, **_sent(actor)))
    if isinstance(given, Refusal):
        raise NotDecided(words=given.words, next="Look at it again.")
    return Done(task=row.id, message=f"{row.id} has its answer and goes on.")


def approve(site: Site, task: str, given: Approve, actor: str) -> Done:
    """Let the result of a task land that waits for a word: exactly this commit."""
    told = story(site.home, task)
    examined = waiting(told, "approve")
    assert told.row.hold is not None
    if not given.anyway and told.row.hold.why.startswith(BLOCKED):
        raise BadInput(problem=f"{told.row.id} is {told.row.hold.why}. If that is meant, approve it `anyway`.")
    return _decide(site, told, examined, given.commit, True, "", actor)


def reject(site: Site, task: str, given: Reject, actor: str) -> Done:
    """Say no to the result of a task: it ends, and its work stays on a ref."""
    told = story(site.home, task)
    return _decide(site, told, waiting(told, "reject"), given.commit, False, given.why, actor)


def waiting(told: TaskStory, verb: str) -> Examined:
    """The result that waits for a person's word. Raises BadState."""
    row = told.row
    if row.hold is None or row.hold.reason not in ASKS:
        raise BadState(task=row.id, state=_doing(row), verb=verb, next="It waits for no decision now.")
    return next(run.examined for run in reversed(told.runs) if run.examined is not None)


def _decide(site: Site, told: TaskStory, examined: Examined, commit: str, approved: bool, why: str, actor: str) -> Done:
    name = told.row.id
    if not examined.commit.startswith(commit.lower()):
        problem = f"{name} waits with commit {examined.commit[:12]}, not with {commit[:12]}. Look at it again."
        raise BadInput(problem=problem)
    blocked = told.row.hold is not None and told.row.hold.why.startswith(BLOCKED)
    action = Action.REJECT if not approved else Action.LAND_ANYWAY if blocked else Action.LAND
    _redeem(site, name, examined.commit, action, why, actor)
    words = "is approved and goes on to land" if approved else "is rejected"
    return Done(task=name, message=f"{name}: commit {examined.commit[:12]} {words}.")


def _redeem(site: Site, task: str, commit: str, action: Action, why: str, actor: str) -> None:
    """By a ticket of whoever is logged in, used at once. Without a name that is the user of this machine: whoever has its
    token owns the state folder."""
    allowed(site, actor, NEEDS[action], task)
    operator = person_in(actor) or cli_operator(_user())
    token = site.ask("issue", actor, ask=task, operator=operator, action=action, commit=commit, lifetime=AT_ONCE_S)
    match read_redeemed(site.ask("redeem", actor, token=token, why=why, **_sent(actor))):
        case Refusal(words=words):
            raise NotDecided(words=words, next="Look at it again.")
        case Redeemed():
            pass


def _sent(actor: str) -> dict[str, str]:
    """Sender and channel of a word, as our own login knows them."""
    person = person_in(actor)
    return {"sender": person, "channel": WEB} if person else {"sender": _user(), "channel": CLI}


def allowed(site: Site, actor: str, right: Right, task: str = "") -> None:
    """Raises NotYours for a person who is logged in by name and lacks a right; that it was tried goes on record."""
    person = person_in(actor)
    if not person or may(site.machine.people, person, right):
        return
    with contextlib.suppress(DaemonUnreachable):
        site.ask("refuse", actor, person=person, right=right, task=task)
    raise NotYours(person=person, right=right)


def _user() -> str:
    """The user that this server runs as."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _doing(row: TaskRow) -> str:
    return row.phase if row.hold is None else f"held ({row.hold.reason})"


def answer_item(site: Site, item: str, words: str, actor: str) -> Done:
    """Answer what is in the inbox: a task that asks, or a call that was denied."""
    allowed(site, actor, Right.ANSWER)
    found = find_item(site.home, item)
    if not words.strip():
        raise BadInput(problem="The answer is empty. Say what the task needs to know.")
    given = read_redeemed(site.ask("answer", actor, ask=found.id, words=words, **_sent(actor)))
    if isinstance(given, Refusal):
        raise NotDecided(words=given.words, next="Look at it again.")
    return Done(task=found.task, message=f"{found.id} has its answer.")


def set_level(site: Site, new: NewLevel, actor: str) -> Done:
    """A person's word on the level of a repo and kind of work."""
    allowed(site, actor, Right.MANAGE)
    name = repo_named(site.home, new.repo).name
    word = Override(level=new.level, since=time.time(), by=person_in(actor) or _user())
    site.ask("put", actor, kind=LEVEL, key=level_key(name, new.kind), value=builtins(word))
    return Done(message=f"{name}, {new.kind}: {'begins anew' if new.level is None else f'{new.level} from here on'}.")


def begin(site: Site, job: str, actor: str) -> Job:
    """Begin long work by its name. Raises as `Jobs.begin`."""
    allowed(site, actor, Right.MANAGE)
    return site.jobs.begin(job)


def replay(site: Site, task: str, n: int | None, actor: str) -> Job:
    """Run a recorded run of a task again, at no cost. Raises BadState where there is none."""
    allowed(site, actor, Right.MANAGE, task)
    told = story(site.home, task)
    runs = [
        run for run in told.runs if run.outcome is not None and (n is None or (run.life, run.n) == (told.row.life, n))
    ]
    if not runs:
        raise BadState(task=told.row.id, state=told.row.phase, verb="replay", next="No such run of it has ended.")
    return site.jobs.replay(runs[-1].id)


# -- money and limits ---------------------------------------------------------------------------------------


def set_budget(site: Site, new: NewLimit, actor: str) -> Done:
    """Set a limit of spending; what waited for it tries again."""
    allowed(site, actor, Right.MANAGE)
    if new.usd is None and new.tokens is None:
        raise BadInput(problem="Name `usd`, such as `5 USD`, or `tokens`, or both.")
    limit = Amount(usd=None if new.usd is None else Money.parse(new.usd), tokens=new.tokens)
    key = _key(site, new.span, new.repo, new.task)
    site.ask("put", actor, kind="budget", key=key, value=builtins(limit))
    woken = site.ask("release", actor, reason=HoldReason.ALLOWANCE_SPENT.value)
    return Done(message=f"The limit holds; {woken} that waited for money try again.")


def unset_budget(site: Site, old: OldLimit, actor: str) -> Done:
    """Take back a limit that was set."""
    allowed(site, actor, Right.MANAGE)
    was = site.ask("drop", actor, kind="budget", key=_key(site, old.span, old.repo, old.task))
    return Done(message="The settings hold again." if was else "Nothing was set there.")


def _key(site: Site, span: str, repo: str | None, task: str | None) -> str:
    if task is not None:
        if span != "task" or repo is not None:
            raise BadInput(problem="A limit for one task has the span `task` and names no repo.")
        return f"task {task_id(site.home, task)}"
    return f"repo {repo_named(site.home, repo).name} {span}" if repo is not None else span


def lift(site: Site, given: Lift, actor: str) -> Done:
    """Let runs use what is kept free of vendors' limits."""
    allowed(site, actor, Right.MANAGE)
    site.ask("put", actor, kind=CEILING, key=LIFTED, value={"until": time.time() + given.seconds})
    woken = site.ask("release", actor, reason=HoldReason.LIMIT_REACHED.value)
    return Done(message=f"The ceilings are lifted for {show_duration(given.seconds)}; {woken} that waited go on.")


def restore(site: Site, actor: str) -> Done:
    """The ceilings hold again."""
    allowed(site, actor, Right.MANAGE)
    was = site.ask("drop", actor, kind=CEILING, key=LIFTED)
    return Done(message="The ceilings hold again." if was else "They were not lifted.")


def forget(site: Site, account: str, actor: str) -> Done:
    """Forget what is known of an account, as after a new login; tasks that wait for it try again."""
    allowed(site, actor, Right.MANAGE)
    known = [each.name for each in limits(site.home, site.machine.ceilings, time.time()).accounts]
    if account not in known:
        raise BadInput(problem=f"Nothing is known of an account {account!r}. Known: {', '.join(known) or 'none'}.")
    for kind in (WINDOWS, BREAKER):
        site.ask("drop", actor, kind=kind, key=account)
    woken = sum(site.ask("release", actor, reason=reason.value, about=account) for reason in _WAITS)
    return Done(message=f"Forgotten; {woken} that waited try again.")
