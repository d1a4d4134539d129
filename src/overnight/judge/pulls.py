"""What happens next with a pull request, from what the forge shows of it. Nothing that has not reported is green.

What is merged is exactly one head: the one that was judged or approved, or a merge of the target into it that Overnight
made and checked, with the forge's checks green on just that commit, and the target's tip in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from overnight.guard.redact import sanitised
from overnight.missions.forge import Ci, CiCheck, CiState, Comment, PullRequest, Pulls, Quote
from overnight.missions.hold import Hold, HoldReason
from overnight.missions.policy import LandingMode
from overnight.missions.units import show_duration

#: Seconds between two looks: a part of the time that was waited so far, within bounds.
CI_EVERY, PEOPLE_EVERY, TROUBLE_S = (20.0, 300.0), (60.0, 900.0), 600.0
#: Characters of one comment, or of what one check says, that a run is told; and comments.
MOST_WORDS, MOST_COMMENTS = 4000, 20


class Settled(Struct, frozen=True, kw_only=True):
    """Which checks were green on the head, and since when nothing has changed about that."""

    checks: tuple[str, ...]
    since: float


class Known(Struct, frozen=True, kw_only=True):
    """What the task's story knows of its pull request."""

    task: str
    number: int
    url: str
    #: The commit that Overnight pushed last, and those before it.
    head: str
    earlier: tuple[str, ...] = ()
    #: Commits for which verdicts and approvals speak: what was judged, and merges of the target into it.
    covered: tuple[str, ...] = ()
    #: The branch that it is to be merged into.
    base: str
    mode: LandingMode
    #: Epoch seconds when the head was pushed.
    since: float
    #: Comments that were dealt with, and runs that the forge's checks and reviews have started.
    heard: tuple[str, ...] = ()
    repairs: int = 0
    #: Why a person has to approve it; empty: it merges by rule.
    asks: str = ""
    #: A person did.
    approved: bool = False
    #: It was taken out of draft.
    readied: bool = False
    green: Settled | None = None


class View(Struct, frozen=True, kw_only=True):
    """One look at the forge."""

    #: Epoch seconds.
    at: float
    #: None: it is not there.
    pull: PullRequest | None
    ci: Ci
    comments: tuple[Comment, ...] = ()
    #: What ran on the target's tip; empty where that was not looked at.
    target: Ci | None = None


# -- what happens next --------------------------------------------------------------------------------------


class Wait(Struct, frozen=True, kw_only=True, tag="wait"):
    """Look again when the hold says so."""

    hold: Hold


class Settle(Struct, frozen=True, kw_only=True, tag="settle"):
    """Green, as far as can be seen now."""

    checks: tuple[str, ...]
    at: float


class Repair(Struct, frozen=True, kw_only=True, tag="repair"):
    """Another run mends it."""

    issues: tuple[str, ...]
    #: Untrusted words, for the run's prompt.
    quotes: tuple[Quote, ...] = ()
    #: Comments that are dealt with by that.
    heard: tuple[str, ...] = ()


class Ready(Struct, frozen=True, kw_only=True, tag="ready"):
    """Take it out of draft."""


class Ask(Struct, frozen=True, kw_only=True, tag="ask"):
    """It is green; a person decides. Look again at that time."""

    until: float


class Update(Struct, frozen=True, kw_only=True, tag="update"):
    """The target has moved on: merge it in, and prove that."""

    base: str


class Merge(Struct, frozen=True, kw_only=True, tag="merge"):
    """Merge exactly this head onto exactly this commit."""

    head: str
    base: str


class Done(Struct, frozen=True, kw_only=True, tag="done"):
    """Somebody merged it."""

    commit: str
    #: The head that was merged.
    head: str


class Over(Struct, frozen=True, kw_only=True, tag="over"):
    """Nothing more comes of it."""

    why: str


Course = Wait | Settle | Repair | Ready | Ask | Update | Merge | Done | Over


def decide(known: Known, view: View, policy: Pulls) -> Course:
    """What to do after one look."""
    pull = view.pull
    if pull is None:
        return Over(why=f"{known.url} is not there any more")
    if pull.state == "merged":
        if not pull.merged:
            return _trouble(known, view, "it is merged, and the forge does not say yet as which commit")
        return Done(commit=pull.merged, head=pull.head)
    if pull.state != "open":
        return Over(why=f"{known.url} was closed without a merge")
    if (odd := _moved(known, pull, view)) is not None:
        return odd
    if asked := requests(known, view.comments, policy):
        return _review(known, view, asked, policy)
    return _by_checks(known, view, pull, policy)


def _moved(known: Known, pull: PullRequest, view: View) -> Wait | None:
    """What somebody else did to it."""
    if pull.base != known.base:
        why = f"it is to be merged into `{pull.base}` now, not into `{known.base}`"
        return _trouble(known, view, why, f"its base is `{known.base}` again")
    if pull.head == known.head:
        return None
    if pull.head in known.earlier:  # the forge has not heard of the last push yet
        return _awaits(known, view, "the forge does not show what was pushed yet")
    why = f"somebody else moved its branch to {pull.head[:12]}: nothing was proved of that"
    return _trouble(known, view, why, f"the branch is at {known.head[:12]} again, or it is merged or closed")


# -- people's words -----------------------------------------------------------------------------------------


def requests(known: Known, comments: Sequence[Comment], policy: Pulls) -> tuple[Comment, ...]:
    """Reviews that ask for changes, by somebody who may, and that were not dealt with."""
    return tuple(c for c in comments if c.blocks and c.id not in known.heard and may_ask(c, policy))


def may_ask(comment: Comment, policy: Pulls) -> bool:
    """Whether these words may start a run."""
    if policy.reviewers:
        return comment.author.casefold() in {name.casefold() for name in policy.reviewers}
    return comment.trusted


def ignored(known: Known, comments: Sequence[Comment], policy: Pulls) -> tuple[Comment, ...]:
    """What asks for changes and is not heeded: its author may not."""
    return tuple(c for c in comments if c.blocks and not may_ask(c, policy) and c.id not in known.heard)


def _review(known: Known, view: View, asked: tuple[Comment, ...], policy: Pulls) -> Repair | Wait:
    authors = ", ".join(dict.fromkeys(one_line(c.author, 40) for c in asked))
    if known.repairs >= policy.repairs:
        why = f"{authors} asks for changes, and {known.repairs} runs were started for its checks and reviews already"
        return _trouble(known, view, why, "the review is taken back, or it is merged or closed")
    new = [c for c in view.comments if c.id not in known.heard and may_ask(c, policy)]
    return Repair(
        issues=(f"a review by {authors} asks for changes",),
        quotes=tuple(_quoted(new)),
        heard=tuple(c.id for c in new),
    )


def _quoted(comments: Sequence[Comment]) -> Iterator[Quote]:
    for c in comments[-MOST_COMMENTS:]:
        if c.body.strip():
            where = f", {c.path}" + (f":{c.line}" if c.line else "") if c.path else ""
            yield Quote(source=one_line(f"{c.author}{where}", 200), text=c.body[:MOST_WORDS])


# -- checks -------------------------------------------------------------------------------------------------


def _by_checks(known: Known, view: View, pull: PullRequest, policy: Pulls) -> Course:
    ci = view.ci
    if ci.commit != known.head:
        return _awaits(known, view, "nothing is known of its head yet")
    red = tuple(c for c in ci.checks if c.state is CiState.RED)
    open_ = any(c.state is CiState.PENDING for c in ci.checks)
    if ci.state is CiState.RED or red:
        if open_ and not _late(known, view, policy):  # a run that mends it is told of all of them
            return _awaits(known, view, "its checks go on")
        return _red(known, view, red, policy)
    green = tuple(sorted({c.name for c in ci.checks if c.state is CiState.GREEN}))
    if ci.state is CiState.NONE and not policy.ci:
        green = ()
    elif ci.state is not CiState.GREEN:
        return _slow(known, view, policy, "its checks go on" if ci.checks else "no check has reported")
    elif missing := [name for name in policy.checks if name not in green]:
        return _slow(known, view, policy, f"no word of {', '.join(missing)}")
    if known.green is None or known.green.checks != green:
        return Settle(checks=green, at=view.at)
    if view.at < known.green.since + policy.settle:
        return _awaits(known, view, "its checks are green", known.green.since + policy.settle)
    return _green(known, view, pull)


def _red(known: Known, view: View, red: tuple[CiCheck, ...], policy: Pulls) -> Repair | Wait:
    on_target = {c.name for c in view.target.checks if c.state is CiState.RED} if view.target else set[str]()
    ours = [c for c in red if c.name not in on_target]
    names = ", ".join(one_line(c.name, 80) for c in ours or red) or "its checks"
    if red and not ours:
        return _trouble(known, view, f"{names}: red, as on `{known.base}` itself", f"`{known.base}` is green again")
    if known.repairs >= policy.repairs:
        why = f"{names}: red, and {known.repairs} runs were started for its checks and reviews already"
        return _trouble(known, view, why, "the checks are run again and pass, or it is merged or closed")
    issues = tuple(f"the forge's check `{one_line(c.name, 80)}` is red" for c in ours)
    quotes = tuple(
        Quote(source=one_line(f"check {c.name}", 200), text=c.summary[:MOST_WORDS]) for c in ours if c.summary.strip()
    )
    return Repair(issues=issues or ("the forge's checks are red",), quotes=quotes)


def _green(known: Known, view: View, pull: PullRequest) -> Course:
    if known.mode is not LandingMode.PR:
        until = _next(view.at, known.since, PEOPLE_EVERY)
        how = f"merging or closing {known.url}"
        hold = _hold(HoldReason.AWAITS_MERGE, f"{known.url} is green and waits for a person", how, until)
        return Wait(hold=hold)
    if known.head not in known.covered:
        return _trouble(known, view, f"nobody has judged {known.head[:12]}")
    if pull.draft:
        return Ready() if not known.readied else _awaits(known, view, "the forge still shows a draft")
    if known.asks and not known.approved:
        return Ask(until=_next(view.at, known.since, PEOPLE_EVERY))
    if not pull.current:
        return Update(base=pull.base_commit)
    if pull.mergeable is False:
        return _trouble(known, view, "the forge says that it can't be merged", "the forge says that it can be")
    if pull.mergeable is None:
        return _awaits(known, view, "the forge finds out whether it can be merged")
    return Merge(head=known.head, base=pull.base_commit)


def one_line(text: str, most: int) -> str:
    """Words of strangers, on one plain line that ends no quotation."""
    line = " ".join(sanitised(text).replace("`", "'").split())
    return line if len(line) <= most else line[: most - 1] + "…"


# -- waiting ------------------------------------------------------------------------------------------------


def _late(known: Known, view: View, policy: Pulls) -> bool:
    return view.at >= known.since + policy.patience


def _slow(known: Known, view: View, policy: Pulls, why: str) -> Wait:
    if not _late(known, view, policy):
        return _awaits(known, view, why)
    waited = show_duration(policy.patience)
    return _trouble(known, view, f"{why}, and did not come to an end within {waited}", "they come to an end")


def _awaits(known: Known, view: View, why: str, until: float | None = None) -> Wait:
    until = until if until is not None else _next(view.at, known.since, CI_EVERY)
    return Wait(hold=_hold(HoldReason.AWAITS_CI, f"{known.url}: {why}", "the forge's checks come to an end", until))


def _trouble(known: Known, view: View, why: str, how: str = "the forge says so") -> Wait:
    return Wait(hold=_hold(HoldReason.FORGE_REFUSED, f"{known.url}: {why}", how, view.at + TROUBLE_S))


def _hold(reason: HoldReason, why: str, how: str, until: float) -> Hold:
    return Hold(reason=reason, why=why, releases_on=how, until=until, then="it is looked at again", looks=True)


def _next(at: float, since: float, bounds: tuple[float, float]) -> float:
    least, most = bounds
    return at + min(most, max(least, (at - since) / 5))


# -- after the merge ----------------------------------------------------------------------------------------


class Fine(Struct, frozen=True, kw_only=True, tag="fine"):
    """The watch is over."""

    why: str


class Revert(Struct, frozen=True, kw_only=True, tag="revert"):
    """It broke the target."""

    why: str


def aftermath(before: Ci, after: Ci, merged: str, since: float, at: float, policy: Pulls) -> Wait | Fine | Revert:
    """What the target's checks say of a merge. before: of the commit that it was merged onto. since: of the merge."""
    over = at >= since + policy.watch
    mine = after if after.commit == merged else Ci(commit=merged, state=CiState.NONE)
    was = {c.name: c.state for c in before.checks}
    red = [c.name for c in mine.checks if c.state is CiState.RED]
    broke = [name for name in red if was.get(name) is CiState.GREEN]
    if broke and before.commit != merged and before.state is CiState.GREEN:
        names = ", ".join(one_line(name, 80) for name in broke)
        return Revert(why=f"{names}: green on {before.commit[:12]}, red on {merged[:12]}")
    named = {c.name for c in mine.checks}
    whole = {name for name, state in was.items() if state is CiState.GREEN} <= named
    ended = mine.state in (CiState.GREEN, CiState.RED) and not any(c.state is CiState.PENDING for c in mine.checks)
    if ended and whole and at >= since + min(policy.settle, policy.watch):
        if mine.state is CiState.GREEN and not red:
            return Fine(why="the target's checks are green on the merge")
        return Fine(why=f"red, and not by this: {', '.join(red) or 'its checks'}")
    if over:
        so_far = "the target's checks did not come to an end" if mine.checks else "no check of the target has reported"
        return Fine(why=f"{so_far} within {show_duration(policy.watch)}")
    until = min(_next(at, since, CI_EVERY), since + policy.watch)
    why = f"merged as {merged[:12]}; the target's checks go on"
    return Wait(hold=_hold(HoldReason.AWAITS_CI, why, "the target's checks come to an end", until))
