"""The brief in words: one document that terminal, Markdown and page draw, each in its own way.

A document knows nothing of any of them. What Overnight did not write stands in spans of its own, so that each of them
can show it as a quotation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple, TypeVar

from overnight.judge.anomalies import Severity
from overnight.judge.breaker import State
from overnight.judge.budget import show_usd
from overnight.missions.units import show_duration
from overnight.report.brief import Brief, Broken, Cost, Denial, Done, Need, Proof, Quote, Waiting, Word
from overnight.report.limits import AccountView

Kind = Literal["text", "strong", "code", "quote", "dim", "good", "bad", "asks"]
#: Things of one sort that are shown; the rest is counted. The values have more.
MOST = 12
_SHORT = 12
_TONES: dict[Word, Kind] = {Word.DONE: "good", Word.UNFINISHED: "asks", Word.STOPPED: "bad", Word.QUIET: "dim"}
_PHASES: dict[str, tuple[str, Kind]] = {"landed": ("✓", "good"), "failed": ("✗", "bad")}


class Span(NamedTuple):
    """A piece of a line."""

    text: str
    kind: Kind = "text"
    #: An address that it leads to.
    link: str = ""


Line = tuple[Span, ...]
T = TypeVar("T")


class Item(NamedTuple):
    """One thing: what it is, and what more is to be said of it."""

    head: Line
    more: tuple[Line, ...] = ()


class Section(NamedTuple):
    """Things of one sort."""

    title: str
    items: tuple[Item, ...]


class Document(NamedTuple):
    """A brief in words."""

    title: str
    #: What time it is about, and when it was made.
    about: str
    lead: Line
    sections: tuple[Section, ...]


def document(brief: Brief) -> Document:
    """What is said, and in which order: what needs a person comes first."""
    made = (
        Section("Needs you", _items(brief.needs, _need)),
        Section("Broken since the night before", _items(brief.broken, _broken)),
        Section("Talked over", tuple(Item((Span(each.task, "strong"), Span(f" {each.repo}: noticed by {each.by}: "), _said(each.words))) for each in brief.injections)),
        Section("Unusual", tuple(Item((Span(each.severity, _severity(each.severity)), Span(f"  {each.why}"))) for each in brief.anomalies)),
        Section("Landed", _items(brief.landed, _done)),
        Section("Failed", _items(brief.failed, _done)),
        Section("Rejected and cancelled", _items(brief.dropped, _done)),
        Section("Held", _items(brief.held, _waiting)),
        Section("Going on", _items(brief.going, _waiting)),
        Section("Refused by the guard", _refused(brief)),
        Section("Cost", tuple(_cost(brief.cost))),
        Section("Limits", tuple(item for each in brief.limits if (item := _account(each, brief.made)) is not None)),
        Section("Next", _next(brief)),
        Section("Not known", tuple(Item((Span(each),)) for each in brief.gaps)),
    )  # fmt: skip
    late = f", made {show_duration(brief.late)} late" if brief.late else ""
    return Document(
        title=f"Night of {moment(brief.until, '%A %d %B %Y')}" if brief.night else "What happened",
        about=f"{moment(brief.since)} to {moment(brief.until)}{late}",
        lead=(Span(brief.verdict.sentence, _TONES[brief.verdict.word]),),
        sections=tuple(section for section in made if section.items),
    )


def moment(at: float, form: str = "%a %d %b %H:%M") -> str:
    """A time by this machine's clock."""
    return datetime.fromtimestamp(at).astimezone().strftime(form)


def spans(text: str) -> Iterator[Span]:
    """A sentence of ours, in which commands stand in backquotes."""
    for n, part in enumerate(re.split(r"`([^`]+)`", text)):
        if part:
            yield Span(part, "code" if n % 2 else "text")


def _items(things: Sequence[T], make: Callable[[T], Item]) -> tuple[Item, ...]:
    """The first of them, and how many more there are."""
    shown = [make(each) for each in things[:MOST]]
    if len(things) > MOST:
        shown.append(_more(len(things) - MOST))
    return tuple(shown)


def _more(count: int) -> Item:
    return Item((Span(f"and {count} more", "dim"),))


def _said(quote: Quote) -> Span:
    return Span(quote.words, "quote")


def _need(each: Need) -> Item:
    head = (Span(each.task, "strong"), Span(f"  {each.title} ({each.repo})"))
    why = (
        Span(each.reason, "asks"),
        Span(": "),
        *((_said(each.quote),) if each.quote and not each.why else spans(each.why)),
    )
    more = [why]
    if each.quote is not None and each.why:
        more.append((Span("the agent's words: ", "dim"), _said(each.quote)))
    return Item(head, (*more, (Span("→ ", "asks"), *spans(each.how))))


def _done(each: Done) -> Item:
    head = (
        Span(*_PHASES.get(each.phase, (each.phase, "dim"))), Span("  "), Span(each.task, "strong"),
        Span(f"  {each.title} ({each.repo}, {moment(each.at, '%H:%M')})"),
    )  # fmt: skip
    more: list[Line] = [tuple(_proof(each))] if each.proof.commit or each.phase == "landed" else []
    if each.phase != "landed" and (each.why or each.quote):
        quoted = (_said(each.quote),) if each.quote is not None else ()
        more.append((*spans(each.why), *((Span(": "),) if each.why and quoted else ()), *quoted))
    if each.proof.broke is not None:
        taken = Span(
            "a pull request takes it back" if each.proof.back else "nothing took it back", "text", each.proof.back or ""
        )
        more.append((Span("it broke the target: ", "bad"), _said(each.proof.broke), Span("; "), taken))
    if each.proof.output is not None:
        more.append((Span("it printed: ", "dim"), _said(each.proof.output)))
    if each.again:
        more.append((Span("it was begun anew since", "dim"),))
    elif each.phase == "failed":
        more.append(
            (
                Span("→ ", "dim"),
                Span(f"overnight show {each.task}", "code"),
                Span(", "),
                Span(f"overnight retry {each.task}", "code"),
            )
        )
    return Item(head, tuple(more))


def _proof(each: Done) -> Iterator[Span]:
    """One line: commit, checks, judges, risk, pull request, cost."""
    proof = each.proof
    if proof.commit is not None:
        yield Span(proof.commit[:_SHORT], "code")
        yield Span(f" on {proof.branch}" if proof.branch else "")
        yield Span(" · ", "dim")
    yield from _checks(proof, landed=each.phase == "landed")
    if proof.judges:
        yield Span(f" · {len(proof.approved)} of {len(proof.judges)} judges pass it")
    if proof.decided_by:
        yield Span(f" · decided by {proof.decided_by}")
    if proof.risk is not None:
        yield Span(f" · risk {proof.risk} ({proof.band})")
    if proof.pr is not None:
        yield Span(" · ", "dim")
        yield Span("pull request", "text", proof.pr)
    runs = f"{each.runs} run{'' if each.runs == 1 else 's'}"
    yield Span(f" · {runs}, {'unknown cost' if each.usd is None else show_usd(each.usd)}", "dim")


def _checks(proof: Proof, *, landed: bool) -> Iterator[Span]:
    if not proof.checks:
        yield Span("no checks", "asks") if landed else Span("not checked", "dim")
        return
    red = [name for name in proof.checks if name not in proof.passed]
    if proof.passed:
        yield Span(f"{', '.join(proof.passed)} passed", "good")
    if red:
        yield Span(f"{', ' if proof.passed else ''}{', '.join(red)} failed", "bad")


def _waiting(each: Waiting) -> Item:
    words: list[Span] = [Span(each.task, "strong"), Span(f"  {each.title} ({each.repo}): ")]
    words += [Span(f"{each.reason}: ", "asks"), *spans(each.why)] if each.reason else [Span(each.phase)]
    if each.until is not None:
        words.append(Span(f"; tried again {moment(each.until, '%a %H:%M')}"))
    return Item(tuple(words))


def _broken(each: Broken) -> Item:
    head = (
        Span(each.check, "strong"), Span(f" of {each.repo} is red on "), Span(each.commit[:_SHORT], "code"),
        Span(f" since {moment(each.since, '%a %H:%M')}; it was green {moment(each.green, '%a %H:%M')}"),
    )  # fmt: skip
    return Item(head, ((_said(each.output),),) if each.output is not None else ())


def _refused(brief: Brief) -> tuple[Item, ...]:
    if not brief.denied:
        return ()
    shown = [_denial(each) for each in brief.denials[: MOST // 2]]
    left = brief.denied - sum(each.times for each in brief.denials[: MOST // 2])
    return (*shown, _more(left)) if left else tuple(shown)


def _denial(each: Denial) -> Item:
    times = f" ({each.times} times)" if each.times > 1 else ""
    return Item((Span(each.task, "strong"), Span(f"  {each.tool} "), _said(each.what), Span(f": {each.why}{times}")))


def _cost(cost: Cost) -> Iterator[Item]:
    if not (cost.runs or cost.usd or cost.reserved):
        return
    words = [
        Span(show_usd(cost.usd), "strong"),
        Span(f" for {cost.runs} run{'' if cost.runs == 1 else 's'}, {cost.tokens:,} tokens"),
    ]
    if cost.before is not None:
        words.append(Span(f"; {show_usd(cost.before)} in the time before", "dim"))
    more: list[Line] = []
    if cost.unknown:
        more.append((Span(f"{cost.unknown} of unknown cost, counted at the whole allowance", "asks"),))
    if cost.unattributed:
        more.append((Span(f"{show_usd(cost.unattributed)} of it can't be said to be any model's"),))
    if cost.reserved:
        more.append((Span(f"{show_usd(cost.reserved)} set aside for runs that go on"),))
    yield Item(tuple(words), tuple(more))
    if len(cost.repos) > 1:
        for repo in cost.repos[:MOST]:
            unknown = f", {repo.unknown} of unknown cost" if repo.unknown else ""
            yield Item((Span(repo.repo, "strong"), Span(f"  {show_usd(repo.usd)}, {repo.tokens:,} tokens{unknown}")))
    for model in cost.models[:MOST]:
        name = f"{model.model} (judge)" if model.judge else model.model
        yield Item((Span(name, "strong"), Span(f"  {_paid(model.usd, model.worth)}, {model.tokens:,} tokens")))


def _paid(usd: Decimal, worth: Decimal | None) -> str:
    if worth is None:
        return f"{show_usd(usd)}, and more without a known price"
    return f"worth {show_usd(worth)}, not billed by use" if worth and not usd else show_usd(usd)


def _account(each: AccountView, now: float) -> Item | None:
    words = [Span(each.name, "strong")]
    if each.state is not State.CLOSED:
        words.append(Span(f"  does not work: {each.why}", "bad"))
    for window in each.windows:
        if window.used is not None:
            ends = (
                f", anew {moment(window.resets, '%a %H:%M')}"
                if window.resets is not None and window.resets > now
                else ""
            )
            words.append(Span(f"  {window.name} {window.used:.0%} used{ends}"))
    return Item(tuple(words)) if len(words) > 1 else None


def _next(brief: Brief) -> tuple[Item, ...]:
    shown = [Item((Span(each.task, "strong"), Span(f"  {each.title} ({each.repo})"))) for each in brief.next[:5]]
    return (*shown, _more(brief.queued - len(shown))) if brief.queued > len(shown) else tuple(shown)


def _severity(severity: Severity) -> Kind:
    return "bad" if severity is Severity.ALARM else "asks" if severity is Severity.WARNING else "dim"
