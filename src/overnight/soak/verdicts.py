"""Whether what Overnight promises was kept: facts in, verdicts out. No clock, no disk, no process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from overnight.soak.facts import Facts, Life, TaskFact
from overnight.soak.plan import Kind

#: A process is judged by what it does after its first seconds, and only if it lived long enough after them.
WARM_S, LONG_S = 60.0, 240.0
#: Growth that counts as a leak: bytes of memory and open files in an hour, by the line that fits best.
LEAK_BYTES, LEAK_FILES = 96 << 20, 60.0
#: As many of each verdict's details are kept.
MOST = 20


class Verdict(Struct, frozen=True, kw_only=True):
    """One promise, and whether it was kept."""

    key: str
    promise: str
    #: None: nothing could be said.
    kept: bool | None
    #: What was seen, in figures.
    seen: str
    #: Each thing that breaks it.
    broken: tuple[str, ...] = ()


class Slope(Struct, frozen=True, kw_only=True):
    """How a figure went over a life, by least squares."""

    role: str
    pid: int
    #: Seconds that it was watched after it was warm.
    seconds: float
    first: float
    last: float
    most: float
    #: In an hour.
    hourly: float


def judge(facts: Facts, *, over: bool) -> tuple[Verdict, ...]:
    """over: everything has ended; before that only what must hold at every instant is judged."""
    always = (_once, _nothing_else, _green, _asked, _kept, _chains, _throughout)
    at_end = (_ended, _as_meant, _money, _recovered, _gone, _memory, _files)
    return tuple(make(facts) for make in (*always, *(at_end if over else ())))


def failed(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Those that were not kept."""
    return tuple(verdict for verdict in verdicts if verdict.kept is False)


# -- at every instant ---------------------------------------------------------------------------------------


def _once(facts: Facts) -> Verdict:
    broken = [
        f"{task.id}: its word stands {task.marks} times in the target, its history names it {task.landings} times"
        for task in facts.tasks
        if task.marks > 1 or task.landings > 1 or (_landed(task) and (task.marks, task.landings) != (1, 1))
    ]
    count = sum(1 for task in facts.tasks if task.landings == 1 and task.marks == 1)
    return _verdict(
        "landed-once", "Each change that landed is in its target exactly once", broken, f"{count} landed once"
    )


def _nothing_else(facts: Facts) -> Verdict:
    broken = [
        f"{task.id} ended as {task.phase}, and the target has it" for task in facts.tasks
        if task.phase and not _landed(task) and (task.marks or task.landings)
    ]  # fmt: skip
    broken += [f"{repo.name}: {commit} belongs to no task" for repo in facts.repos for commit in repo.strangers]
    return _verdict("nothing-else", "Nothing else is in the targets", broken, _count(broken, "other commit"))


def _green(facts: Facts) -> Verdict:
    broken = [f"{repo.name}: {commit} fails the check" for repo in facts.repos for commit in repo.red]
    return _verdict("green", "No commit of a target ever failed its check", broken, _count(broken, "red commit"))


def _asked(facts: Facts) -> Verdict:
    asked = [task for task in facts.tasks if task.kind is Kind.ASK]
    broken: list[str] = []
    for task in asked:
        yes = task.decided is not None and task.decided[0]
        if (task.landings or task.marks) and not yes:
            broken.append(f"{task.id} landed, and nobody approved it")
        elif task.landings and not task.approved_is_in:
            broken.append(f"{task.id} landed as another commit than the one that was approved")
    seen = f"{sum(1 for task in asked if task.landings)} of {len(asked)} that were asked about landed, each approved"
    return _verdict("approved", "Nothing that needs a person's word landed without it", broken, seen)


def _kept(facts: Facts) -> Verdict:
    broken = [f"{repo.name}: {commit} is on no ref" for repo in facts.repos for commit in repo.lost]
    broken += [f"{repo.name}: {line}" for repo in facts.repos for line in repo.broken]
    made = sum(repo.commits for repo in facts.repos)
    return _verdict("commits", "No commit that an agent made is lost", broken, f"{made} commits, each on a ref")


def _chains(facts: Facts) -> Verdict:
    broken = [f"{what}: {flaw}" for what, flaw in (("journal", facts.journal), ("audit", facts.audit)) if flaw]
    return _verdict("records", "Journal and audit are whole", broken, f"{facts.events} events in the chain")


def _throughout(facts: Facts) -> Verdict:
    promise = "All of this held at every look on the way"
    broken = [f"{at} s: {words}" for at, words in facts.seen]
    if not facts.looks:
        return Verdict(key="throughout", promise=promise, kept=None, seen="nobody looked")
    return _verdict("throughout", promise, broken, f"{facts.looks} looks")


# -- at the end ---------------------------------------------------------------------------------------------


def _ended(facts: Facts) -> Verdict:
    broken = [
        f"{task.id} is {task.phase or 'not over'}, and ended {task.ends} times" for task in facts.tasks
        if not task.phase or task.ends != 1
    ]  # fmt: skip
    broken += [f"{task} is in the journal, and nobody asked for it" for task in facts.unknown]
    seen = f"{sum(1 for task in facts.tasks if task.phase)} of {len(facts.tasks)} tasks ended"
    return _verdict("one-end", "Every task has exactly one end", broken, seen)


def _as_meant(facts: Facts) -> Verdict:
    broken = [
        f"{task.id} ended as {task.phase}, and should have ended as {task.wanted}" for task in facts.tasks
        if task.phase and task.phase != task.wanted
    ]  # fmt: skip
    return _verdict("as-meant", "Faults changed no task's end", broken, _count(broken, "other end"))


def _money(facts: Facts) -> Verdict:
    broken: list[str] = []
    for task in facts.tasks:
        if task.unsettled:
            broken.append(f"{task.id}: {task.unsettled} runs are not settled")
        if task.spent < task.served:
            broken.append(f"{task.id}: {task.served} tokens were served, {task.spent} are counted")
        elif task.spent != task.served and not task.cut and not task.lost_runs:
            broken.append(f"{task.id}: {task.served} tokens were served, {task.spent} are counted, and nothing was cut")
    served, spent = sum(task.served for task in facts.tasks), sum(task.spent for task in facts.tasks)
    if facts.stray:
        broken.append(f"{facts.stray} tokens were served to nobody's request")
    seen = (
        f"{served} tokens served in whole answers, {spent} counted; {sum(task.cut for task in facts.tasks)} answers cut"
    )
    return _verdict("spend", "The journal counts what the model served, never less", broken, seen)


def _recovered(facts: Facts) -> Verdict:
    done = [hit for hit in facts.hits if not hit.impossible]
    broken = [f"fault {hit.n} ({hit.fault}, {hit.what}): not back" for hit in done if hit.recovered is None]
    if not done:
        return Verdict(key="recovered", promise=_BACK, kept=None, seen="no fault was done")
    return _verdict("recovered", _BACK, broken, f"back after {len(done) - len(broken)} of {len(done)} faults")


def _gone(facts: Facts) -> Verdict:
    broken = [f"process: {line}" for line in facts.processes] + list(facts.folders)
    broken += [f"{repo.name}: work tree {line}" for repo in facts.repos for line in repo.worktrees]
    broken += [f"{repo.name}: {line}" for repo in facts.repos for line in repo.dirty]
    return _verdict("nothing-left", "No process, work tree or temporary folder is left", broken, _count(broken, "rest"))


def _memory(facts: Facts) -> Verdict:
    return _leaks("memory", "Memory does not grow", facts, 1, LEAK_BYTES, lambda rate: f"{rate / (1 << 20):+.1f} MiB/h")


def _files(facts: Facts) -> Verdict:
    return _leaks("open-files", "Open files do not grow", facts, 2, LEAK_FILES, lambda rate: f"{rate:+.1f}/h")


def _leaks(key: str, promise: str, facts: Facts, which: int, most: float, show: Callable[[float], str]) -> Verdict:
    found = slopes(facts.lives, which)
    if not found:
        seen = f"no process lived {WARM_S + LONG_S:.0f} s, so nothing can be said"
        return Verdict(key=key, promise=promise, kept=None, seen=seen)
    broken = [
        f"{each.role} {each.pid}: {show(each.hourly)} over {each.seconds:.0f} s" for each in found if each.hourly > most
    ]
    longest = {each.role: each for each in sorted(found, key=lambda each: each.seconds)}
    seen = ", ".join(f"{role} {show(each.hourly)} over {each.seconds:.0f} s" for role, each in longest.items())
    return _verdict(key, promise, broken, seen)


def slopes(lives: Sequence[Life], which: int) -> tuple[Slope, ...]:
    """For each life that was long enough. which: 1 is memory in bytes, 2 open files."""
    found: list[Slope] = []
    for life in lives:
        if not life.samples:
            continue
        begun = life.samples[0][0]
        points = [(sample[0], float(sample[which])) for sample in life.samples if sample[0] - begun >= WARM_S]
        if len(points) < 3 or points[-1][0] - points[0][0] < LONG_S:
            continue
        values = [value for _, value in points]
        found.append(
            Slope(
                role=life.role, pid=life.pid, seconds=points[-1][0] - points[0][0], first=values[0], last=values[-1],
                most=max(values), hourly=fit(points) * 3600,
            )
        )  # fmt: skip
    return tuple(found)


def fit(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the line that fits best; 0 for points of one instant."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that so large a part of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-round(part * 1000) * len(ordered) // 1000) - 1))]


_BACK = "Everything was back after every fault"


def _landed(task: TaskFact) -> bool:
    return task.phase == "landed"


def _verdict(key: str, promise: str, broken: Sequence[str], seen: str) -> Verdict:
    return Verdict(key=key, promise=promise, kept=not broken, seen=seen, broken=tuple(broken[:MOST]))


def _count(broken: Sequence[str], what: str) -> str:
    return f"{len(broken)} {what}{'' if len(broken) == 1 else 's'}"
