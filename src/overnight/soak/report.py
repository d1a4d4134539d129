"""The report: Markdown for people, JSON for programs, both from the same result."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from overnight import __version__
from overnight.report.soaked import Promise, Soaked
from overnight.soak.conduct import Result
from overnight.soak.facts import Hit
from overnight.soak.plan import WORDS, Kind, Order
from overnight.soak.verdicts import LEAK_BYTES, LEAK_FILES, failed, percentile, slopes


class Machine(Struct, frozen=True, kw_only=True):
    """Where it ran."""

    version: str
    #: Of the source, if it is a clone; with a note when files were changed.
    commit: str
    system: str
    processors: int
    memory_mib: int
    python: str
    git: str
    box: str
    agent: str
    disk: str
    #: Of the machine over 15 minutes, before and after.
    load_before: float
    load_after: float


class Report(Struct, frozen=True, kw_only=True):
    """Everything, as the JSON file has it."""

    order: Order
    machine: Machine
    result: Result


def machine(*, box: str, agent: str, disk: str, load_before: float) -> Machine:
    """What is known of this machine."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(
        version=__version__, commit=_commit(), system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processors=os.cpu_count() or 0, memory_mib=pages * size >> 20, python=platform.python_version(),
        git=_said("git", "version").removeprefix("git version "), box=box, agent=agent, disk=disk,
        load_before=load_before, load_after=round(os.getloadavg()[2], 1),
    )  # fmt: skip


def _commit() -> str:
    top = Path(__file__).resolve().parents[3]
    if not (top / ".git").exists():
        return ""
    commit = _said("git", "-C", str(top), "rev-parse", "HEAD")
    changed = _said("git", "-C", str(top), "status", "--porcelain", "--untracked-files=no")
    return f"{commit} and changes that are not committed" if changed else commit


def _said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def in_short(report: Report) -> Soaked:
    """What the pages show of it."""
    result = report.result
    return Soaked(
        at=result.ended, seconds=report.order.seconds, seed=report.order.seed, version=report.machine.version,
        commit=report.machine.commit, tasks=len(result.facts.tasks),
        landed=sum(task.phase == "landed" for task in result.facts.tasks),
        faults=sum(not hit.impossible for hit in result.facts.hits), interrupted=result.interrupted,
        promises=tuple(Promise(each.promise, each.kept, each.seen) for each in result.verdicts),
    )  # fmt: skip


# -- Markdown -----------------------------------------------------------------------------------------------


def markdown(report: Report) -> str:
    """The whole page."""
    result, broken = report.result, failed(report.result.verdicts)
    word = "**Broken**: " + ", ".join(verdict.promise for verdict in broken) if broken else "**Everything was kept.**"
    if result.interrupted:
        word += " It was interrupted: only what must hold at every instant is judged."
    parts = [
        ["# A soak of Overnight", "", word, ""], _facts(report), ["", "## Verdicts", ""], _verdicts(report),
        ["", "## Tasks", ""], _tasks(report), ["", "## Faults", ""], _faults(report), ["", "## Over time", ""],
        _slopes(report), ["", "## Every fault", ""], _schedule(report), ["", "## Again", ""], _again(report),
    ]  # fmt: skip
    return "\n".join(line for part in parts for line in part) + "\n"


def _facts(report: Report) -> Iterator[str]:
    result, order, here = report.result, report.order, report.machine
    facts = result.facts
    calm = "not everything came to its end" if result.drained is None else f"{result.drained:.0f} s later all was over"
    rows = (
        ("version", f"{here.version}, commit {here.commit}" if here.commit else here.version),
        ("when", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(result.began))),
        ("how long", f"{_span(order.seconds)} with work and faults; {calm}"),
        ("seed", str(order.seed)),
        ("machine", f"{here.system}, {here.processors} processors, {here.memory_mib} MiB"),
        ("load (15 min)", f"{here.load_before} before, {here.load_after} after"),
        ("Python, git", f"{here.python}, {here.git}"),
        ("box", here.box),
        ("agents", f"a shell script; {here.agent}"),
        ("disk", here.disk),
        ("looks", f"{result.samples} at processes, {facts.looks} at what must hold at every instant"),
        ("starts of the daemon", f"{facts.starts} by the soak, {facts.watchdog_starts} by the watchdog"),
        ("holds that a person released", _counted(facts.resumed) or "none"),
    )
    yield from _table(("", ""), rows)


def _verdicts(report: Report) -> Iterator[str]:
    words = {True: "kept", False: "**broken**", None: "not known"}
    verdicts = report.result.verdicts
    yield from _table(("promise", "", "seen"), ((v.promise, words[v.kept], v.seen) for v in verdicts))
    for verdict in failed(verdicts):
        yield from ("", f"{verdict.promise}:", "", *(f"- `{line}`" for line in verdict.broken))


def _tasks(report: Report) -> Iterator[str]:
    tasks = report.result.facts.tasks
    rows: list[tuple[str, ...]] = []
    for kind in (*Kind, None):
        mine = [task for task in tasks if kind in (task.kind, None)]
        if mine:
            ends = Counter(task.phase or "not over" for task in mine)
            runs, lost = sum(task.runs for task in mine), sum(task.lost_runs for task in mine)
            rows.append(
                (_KINDS[kind] if kind else "all", str(len(mine)), _counted(ends), str(runs), str(lost),
                 str(sum(task.landings == 1 and task.marks == 1 for task in mine)))
            )  # fmt: skip
    yield from _table(("a task that", "asked for", "ended as", "runs", "of them lost", "landed exactly once"), rows)


def _faults(report: Report) -> Iterator[str]:
    hits, rows = report.result.facts.hits, list[tuple[str, ...]]()
    for fault in dict.fromkeys(hit.fault for hit in sorted(hits, key=lambda hit: hit.fault)):
        mine = [hit for hit in hits if hit.fault is fault]
        done = [hit for hit in mine if not hit.impossible]
        rows.append((f"`{fault}`", WORDS[fault], str(len(done)), *_times(done)))
    done = [hit for hit in hits if not hit.impossible]
    rows.append(("all", "", str(len(done)), *_times(done)))
    yield from _table(("fault", "what", "done", "back in: p50", "p95", "longest"), rows)
    yield ""
    yield (
        "Seconds, looked for every 0.2 s. What was killed counts from the kill, what lasted a while from its end; a daemon "
        "that hangs counts from the moment it was stopped, so with the watchdog's 10 s of patience and its pause of 10 s "
        "and more before a start."
    )
    for words, count in Counter(f"`{hit.fault}`: {hit.impossible}" for hit in hits if hit.impossible).items():
        yield from ("", f"Not done, {count}x: {words}.")


def _times(hits: Sequence[Hit]) -> tuple[str, str, str]:
    found = [hit.recovered for hit in hits if hit.recovered is not None]
    if not found:
        return ("", "", "")
    return (f"{percentile(found, 0.5):.1f}", f"{percentile(found, 0.95):.1f}", f"{max(found):.1f}")


def _slopes(report: Report) -> Iterator[str]:
    lives = report.result.facts.lives
    rows: list[tuple[str, ...]] = []
    for memory, files in zip(slopes(lives, 1), slopes(lives, 2), strict=True):
        size = 1 << 20
        rows.append(
            (f"{memory.role} {memory.pid}", f"{memory.seconds:.0f}", f"{memory.first / size:.1f}",
             f"{memory.last / size:.1f}", f"{memory.most / size:.1f}", f"{memory.hourly / size:+.1f}",
             f"{files.first:.0f}", f"{files.last:.0f}", f"{files.most:.0f}", f"{files.hourly:+.1f}")
        )  # fmt: skip
    counts = Counter(life.role for life in lives)
    yield (
        f"Processes watched: {_counted(counts)}. Those that lived long enough for a line through their samples, without "
        f"their first minute; more than {LEAK_BYTES >> 20} MiB or {LEAK_FILES:g} files an hour would count as a leak."
    )
    yield ""
    head = ("process", "seconds", "MiB first", "last", "most", "per hour", "files first", "last", "most", "per hour")
    yield from _table(head, rows) if rows else ("None did.",)


def _schedule(report: Report) -> Iterator[str]:
    rows = (
        (str(hit.n), f"{hit.at:.1f}", f"`{hit.fault}`", hit.what or f"not done: {hit.impossible}",
         f"{hit.lasted:.1f}" if hit.lasted else "",
         "" if hit.impossible else "**not seen**" if hit.recovered is None else f"{hit.recovered:.1f}", hit.until)
        for hit in report.result.facts.hits
    )  # fmt: skip
    yield from _table(("", "at (s)", "fault", "what was hit", "lasted (s)", "back in (s)", "back means"), rows)


def _again(report: Report) -> Iterator[str]:
    order = report.order
    yield "```sh"
    yield (
        f"overnight soak --for {_span(order.seconds)} --tasks-per-minute {order.tasks_per_minute:g} --seed {order.seed} "
        f"--faults {','.join(order.faults) or 'none'}"
    )
    yield "```"
    yield ""
    yield "The same seed makes the same tasks and the same faults at the same times; what they hit depends on the machine."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in row)} |"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _span(seconds: float) -> str:
    return f"{seconds / 60:g}m" if seconds >= 60 and seconds % 60 == 0 else f"{seconds:g}s"


_KINDS = {
    Kind.LAND: "lands at once",
    Kind.REPAIR: "turns the check red, then mends it",
    Kind.CRASH: "crashes half-way first",
    Kind.NOTHING: "says it is done and changed nothing",
    Kind.ASK: "is risky: a person approves or rejects it",
    Kind.CLASH: "changes the same lines as others",
    Kind.LOUD: "prints 4 MB",
    Kind.CLI: "is done by Claude Code",
}
