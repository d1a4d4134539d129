"""A runbook: a checklist of numbered steps in Markdown, read strictly. An agent may tick its boxes and nothing else."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from overnight.errors import RunbookInvalid

#: Characters of a runbook, steps, and characters of a step's first line.
MOST_TEXT, MOST_STEPS, MOST_TITLE = 128 << 10, 200, 200
#: Problems that are told.
MOST_TOLD = 8


class RunbookLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long an agent is kept at a runbook. A box that is ticked begins what counts in a row anew."""

    #: Times in a row that an agent which would end its turn is sent back to the open step; then its run ends.
    idle_ends: Annotated[int, Meta(ge=0, le=1000)] = 3
    #: The same, altogether.
    ends: Annotated[int, Meta(ge=0, le=10_000)] = 300
    #: Tool calls without a ticked box, after which the agent is told; its run ends after twice as many.
    calls: Annotated[int, Meta(ge=1, le=1_000_000)] = 250
    #: Runs that tick at least one box each and cost no attempt; then a person is asked.
    runs: Annotated[int, Meta(ge=0, le=1000)] = 20


class Step(Struct, frozen=True, kw_only=True):
    """One step."""

    number: int
    title: str
    #: The lines below it, without the ends of lines.
    body: tuple[str, ...] = ()
    ticked: bool = False
    #: From 1.
    line: int = 0

    @property
    def id(self) -> str:
        """The same as long as its words are, wherever it stands and whether it is ticked or not."""
        return hashlib.sha256("\n".join((self.title, *self.body)).encode(errors="replace")).hexdigest()[:12]

    @property
    def words(self) -> str:
        """For a person and the agent: `3. Switch the cart over`."""
        return f"{self.number}. {self.title}"

    @property
    def commands(self) -> tuple[str, ...]:
        """What it names in backticks."""
        return tuple(re.findall(r"`([^`\n]+)`", "\n".join((self.title, *self.body))))


class Zones(Struct, frozen=True, kw_only=True):
    """Paths, as globs from the root of the repository. They only ever tighten what the repo's policy says."""

    #: The work is here, and nowhere else; empty leaves that open.
    free: tuple[str, ...] = ()
    #: A change here is a person's to decide.
    ask: tuple[str, ...] = ()
    #: No change here.
    forbidden: tuple[str, ...] = ()


class ErrorBudget(Struct, frozen=True, kw_only=True):
    """Failed attempts that are allowed; None sets no bound."""

    per_step: int | None = None
    overall: int | None = None


class Runbook(Struct, frozen=True, kw_only=True):
    """What a sound file says."""

    title: str = ""
    steps: tuple[Step, ...]
    budget: ErrorBudget = ErrorBudget()
    zones: Zones = Zones()
    #: Its other lines that are not empty.
    around: tuple[str, ...] = ()

    @property
    def ticked(self) -> frozenset[str]:
        """Ids of the steps that are ticked."""
        return frozenset(step.id for step in self.steps if step.ticked)

    def open(self, ticked: Iterable[str]) -> tuple[Step, ...]:
        """The steps that are not among these ids, in order."""
        done = frozenset(ticked)
        return tuple(step for step in self.steps if step.id not in done)


# -- what goes with a run -----------------------------------------------------------------------------------


class RunbookOrder(Struct, frozen=True, kw_only=True):
    """The runbook of a run, for its warden."""

    #: From the root of the repository.
    path: str
    #: As it is on the target branch.
    text: str
    #: Ids of the steps that are ticked in the commit that the run starts from.
    ticked: tuple[str, ...] = ()
    #: Failed attempts so far, by the id of the step.
    failed: dict[str, int] = {}


class RunbookUse(Struct, frozen=True, kw_only=True):
    """What became of the runbook in a run, as its warden saw it. What counts is the file in the run's commit."""

    #: Numbers of the steps that were ticked, in order.
    ticked: tuple[int, ...] = ()
    #: Failed attempts, those of the runs before included.
    failed: dict[str, int] = {}
    #: How often the agent would have ended its turn and was sent back.
    sent_back: int = 0
    #: What was done to the file besides ticking one box after the other.
    deviations: tuple[str, ...] = ()
    #: Why its error budget is used up; empty while it is not.
    spent: str = ""


class Standing(Struct, frozen=True, kw_only=True):
    """How far a runbook is in a commit."""

    total: int
    #: Ids of the ticked steps where the run began, and in its commit.
    before: tuple[str, ...] = ()
    ticked: tuple[str, ...] = ()
    #: The open steps, in words.
    open: tuple[str, ...] = ()
    #: What is otherwise than its author wrote it.
    deviations: tuple[str, ...] = ()

    @property
    def progressed(self) -> bool:
        """At least one more box is ticked than where the run began."""
        return len(set(self.ticked) - set(self.before)) > 0


# -- reading ------------------------------------------------------------------------------------------------

_STEP = re.compile(r"([0-9]{1,6})\. \[([ xX])\] (\S.*)")
_NUMBERED = re.compile(r"[0-9]+[.)](?:\s|$)")
_BOX = re.compile(r"\s*(?:[-*+]|[0-9]+[.)])\s+\[[ xX]?\](?:\s|$)")
_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_ITEM = re.compile(r"[-*+]\s+([^:]+?)\s*:\s*(.*)")
_BUDGET, _ZONES = "error budget", "autonomy zones"
_HIDDEN = ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")


class Scan:
    """A text line by line: its steps, its other lines, and what is wrong with it."""

    def __init__(self, text: str) -> None:
        self.title = ""
        self.steps: list[Step] = []
        self.around: list[str] = []
        self.problems: list[str] = []
        #: (line, text) below the two headings that mean something.
        self.sections: dict[str, list[tuple[int, str]]] = {}
        self._section, self._fence, self._body = "", "", list[str]()
        for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
            self._line(number, line.rstrip(" \t"))
        self._close()
        if self._fence:
            self.problems.append(f"the code block that begins with {self._fence} has no end")

    def _line(self, number: int, line: str) -> None:
        if any(unicodedata.category(char) in _HIDDEN for char in line if char != "\t"):
            self._wrong(number, "it has hidden or control characters: type it anew without them")
        fence = _FENCE.match(line)
        if self._fence:
            if fence and fence[1].startswith(self._fence) and not line.strip(" \t`~"):
                self._fence = ""
            self._keep(line, inside=True)
        elif fence:
            self._fence = fence[1]
            self._keep(line, inside=line[0] in " \t")
        elif heading := _HEADING.fullmatch(line):
            self._begin_section(number, heading, line)
        elif _NUMBERED.match(line):
            self._begin_step(number, line)
        else:
            if _BOX.match(line):
                self._wrong(number, "a box that is no step's: only lines such as `3. [ ] What is to be done` have one")
            if self._section and line:
                self.sections[self._section].append((number, line))
            self._keep(line, inside=line[:1] in ("", " ", "\t"))

    def _keep(self, line: str, *, inside: bool) -> None:
        """A line of the step that is being read, or of none."""
        if self.steps and not inside:
            self._close()
        if self.steps and self._open:
            self._body.append(line)
        elif line:
            self.around.append(line)

    _open = False

    def _begin_section(self, number: int, heading: re.Match[str], line: str) -> None:
        self._close()
        self.around.append(line)
        name = heading[2].casefold()
        self._section = name if name in (_BUDGET, _ZONES) else ""
        if self._section in self.sections:
            self._wrong(number, f"there are two headings {heading[2]!r}: keep one")
        elif self._section:
            self.sections[self._section] = []
        elif not self.title and len(heading[1]) == 1:
            self.title = heading[2]

    def _begin_step(self, number: int, line: str) -> None:
        self._close()
        found = _STEP.fullmatch(line)
        if found is None:
            self._wrong(number, "a numbered line without a box of its own: write `3. [ ] What is to be done`")
            self.around.append(line)
            return
        if self._section:
            self._wrong(number, f"a step below “{self._section}”: put a heading before the steps")
        self.steps.append(Step(number=int(found[1]), title=found[3], ticked=found[2] != " ", line=number))
        self._open = True

    def _close(self) -> None:
        """The step that is being read ends here."""
        if self._open:
            while self._body and not self._body[-1]:
                del self._body[-1]
            last = self.steps[-1]
            self.steps[-1] = Step(
                number=last.number, title=last.title, body=tuple(self._body), ticked=last.ticked, line=last.line
            )
        self._open, self._body = False, []

    def _wrong(self, number: int, problem: str) -> None:
        self.problems.append(f"line {number}: {problem}")


def parse(text: str, where: str) -> Runbook:
    """where: what the file is called in the message. Raises RunbookInvalid, which names lines and what to do."""
    if len(text) > MOST_TEXT:
        problem = f"it is longer than {MOST_TEXT >> 10} KiB: put what the steps need to know into files"
        raise RunbookInvalid(where=where, problems=f"\n  {problem}")
    scan = Scan(text)
    problems = [*scan.problems, *_order(scan.steps)]
    budget = _budget(scan.sections.get(_BUDGET, []), problems)
    zones = _zones(scan.sections.get(_ZONES, []), problems)
    if problems:
        more = [f"and {len(problems) - MOST_TOLD} more"] if len(problems) > MOST_TOLD else []
        raise RunbookInvalid(where=where, problems="".join(f"\n  {each}" for each in [*problems[:MOST_TOLD], *more]))
    return Runbook(title=scan.title, steps=tuple(scan.steps), budget=budget, zones=zones, around=tuple(scan.around))


def _order(steps: Sequence[Step]) -> Iterator[str]:
    """What is wrong with the steps together."""
    if not steps:
        yield "it has no step: write `1. [ ] What is to be done` at the beginning of a line"
    if len(steps) > MOST_STEPS:
        yield f"it has {len(steps)} steps, more than {MOST_STEPS}: split it"
    seen: dict[str, Step] = {}
    for expected, step in enumerate(steps, 1):
        if step.number != expected:
            yield f"line {step.line}: step {step.number} stands where step {expected} is due: number them 1, 2, 3, ..."
            return
        if len(step.title) > MOST_TITLE:
            yield f"line {step.line}: longer than {MOST_TITLE} characters: put the rest below it, indented"
        if (same := seen.setdefault(step.id, step)) is not step:
            yield f"line {step.line}: word for word the step of line {same.line}: say what is different about it"


def _budget(lines: Sequence[tuple[int, str]], problems: list[str]) -> ErrorBudget:
    found: dict[str, int] = {}
    for number, line in lines:
        item = _ITEM.fullmatch(line)
        name = item[1].casefold().replace(" ", "_") if item else ""
        if (
            item is None
            or name not in ("per_step", "overall")
            or name in found
            or not re.fullmatch("[0-9]{1,4}", item[2])
        ):
            problems.append(
                f"line {number}: an error budget says `- per step: 2` and `- overall: 5`, each at most once"
            )
        else:
            found[name] = int(item[2])
    return ErrorBudget(per_step=found.get("per_step"), overall=found.get("overall"))


def _zones(lines: Sequence[tuple[int, str]], problems: list[str]) -> Zones:
    found: dict[str, tuple[str, ...]] = {}
    for number, line in lines:
        item = _ITEM.fullmatch(line)
        name = item[1].casefold() if item else ""
        globs = tuple(glob.strip() for glob in re.findall(r"`([^`]*)`", item[2])) if item else ()
        rest = re.sub(r"`[^`]*`|[\s,]", "", item[2]) if item else "-"
        if name not in ("free", "ask", "forbidden") or name in found or not globs or rest:
            problems.append(
                f"line {number}: zones say ``- free: `src/**`, `tests/**` ``, and the same for `ask` and `forbidden`, "
                "each at most once"
            )
        elif bad := [glob for glob in globs if not _sound(glob)]:
            problems.append(f"line {number}: {bad[0]!r} is no glob from the root of the repository, such as `src/**`")
        else:
            # A folder's name means what is in it.
            found[name] = tuple(f"{glob}**" if glob.endswith("/") else glob for glob in globs)
    return Zones(**found)


def _sound(glob: str) -> bool:
    return bool(glob) and not glob.startswith(("/", "!", "./")) and ".." not in glob.split("/")
