"""What is worth telling, how much it matters, when, and in which words. Facts in, values out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct

from overnight.guard.redact import redacted, sanitised
from overnight.missions.hold import PASSING, Hold, HoldReason
from overnight.missions.notice import RANKS, Happening, Line, Message, Notice, Priority

#: Characters of what others said that are shown, and of a title.
QUOTE, TITLE = 400, 120
#: Bytes of a message's text. ntfy makes an attachment of more than 4,096, Telegram refuses more than 4,096 characters.
TEXT = 3500
#: Facts that one message names; the others are counted.
NAMED = 20
#: Reasons of holds that are about an account or this machine, not about one task: told once for all that wait.
_SHARED = frozenset({
    HoldReason.LIMIT_REACHED, HoldReason.AUTH_EXPIRED, HoldReason.VENDOR_OUTAGE, HoldReason.NETWORK_LOST,
    HoldReason.BREAKER_OPEN, HoldReason.BOX_UNAVAILABLE, HoldReason.CANARY_FAILED, HoldReason.DISK_LOW,
})  # fmt: skip
#: Nothing to tell: a person's own wish, or another task's turn.
_SILENT = frozenset(map(HoldReason, ("paused", "quiet-hours", "pr-backlog", "awaits-ci")))
_PRIORITY = {
    HoldReason.DISK_LOW: Priority.URGENT,
    HoldReason.CANARY_FAILED: Priority.URGENT,
    HoldReason.LIMIT_REACHED: Priority.LOW,
    HoldReason.VENDOR_OUTAGE: Priority.LOW,
    HoldReason.NETWORK_LOST: Priority.LOW,
    HoldReason.BREAKER_OPEN: Priority.NORMAL,
    HoldReason.ALLOWANCE_SPENT: Priority.NORMAL,
    HoldReason.DEPENDENCY: Priority.NORMAL,
}
#: Of what is unusual.
_SEVERITY = {"note": Priority.LOW, "warning": Priority.HIGH, "alarm": Priority.URGENT}
_WORDS = {
    HoldReason.NEEDS_ANSWER: "asks you something",
    HoldReason.NEEDS_APPROVAL: "waits for your word",
    HoldReason.JUDGES_DISAGREE: "waits for your word: its judges don't agree",
    HoldReason.CONFLICT: "conflicts with its target",
    HoldReason.STUCK: "is stuck",
    HoldReason.TARGET_BUSY: "can't land: its target is checked out with uncommitted work",
    HoldReason.REPO_UNAVAILABLE: "can't reach its repository",
    HoldReason.DEPENDENCY: "waits for a task that did not land",
    HoldReason.FAULT: "met a fault of Overnight's own",
    HoldReason.ALLOWANCE_SPENT: "has no allowance left",
    HoldReason("awaits-merge"): "has a pull request that waits for you",
    HoldReason("forge-refused"): "was refused by the forge",
}
_SHARED_WORDS = {
    HoldReason.LIMIT_REACHED: "A limit is reached",
    HoldReason.AUTH_EXPIRED: "A login has expired: log in again",
    HoldReason.VENDOR_OUTAGE: "A vendor does not answer",
    HoldReason.NETWORK_LOST: "The network is gone",
    HoldReason.BREAKER_OPEN: "Runs fail again and again",
    HoldReason.BOX_UNAVAILABLE: "No box can be had, or the agent can't be started",
    HoldReason.CANARY_FAILED: "The canary failed: nothing starts",
    HoldReason.DISK_LOW: "The disk is nearly full: nothing starts",
}


def notice_of(seen: Happening) -> Notice | None:
    """The notice of an event; None for what nobody needs to be told."""
    match seen.what:
        case "task.held":
            return None if seen.hold is None else _held(seen, seen.hold)
        case "task.ended":
            return _ended(seen)
        case "landing.reverted":
            return Notice(
                key=f"reverted {seen.task} {seen.life}", priority=Priority.HIGH, task=seen.task, repo=seen.repo,
                title=f"{_name(seen)} broke its target", quote=quoted(seen.why), do=f"`overnight show {seen.task}`",
            )  # fmt: skip
        case "question.asked":
            return Notice(
                key=f"question {seen.task} {seen.ask or digest(seen.why)}", priority=Priority.NORMAL, task=seen.task, repo=seen.repo,
                title=f"{_name(seen)} was not let do something", quote=quoted(seen.why), do=f"`overnight show {seen.task}`",
                ask=seen.ask,
            )  # fmt: skip
        case "refusals.counted":
            return Notice(
                key=f"refused {digest(seen.actor)}", priority=Priority.HIGH, title="Somebody tries to decide in your name",
                quote=quoted(f"{seen.actor}: {seen.why}"), do="`overnight audit decisions --refused`",
            )  # fmt: skip
        case "budget.threshold":
            spent = seen.percent >= 100
            return Notice(
                key=f"budget {seen.why}", priority=Priority.HIGH if spent else Priority.NORMAL,
                title="A budget is spent" if spent else f"A budget is {seen.percent} % spent", quote=quoted(seen.why),
                do="`overnight budget`",
            )  # fmt: skip
        case "audit.broken":
            return Notice(
                key=f"audit {seen.why}", priority=Priority.URGENT, title="The audit is not as it was written",
                quote=quoted(seen.why), do="keep the files as they are; `overnight audit verify`",
            )  # fmt: skip
        case "report.made":
            return Notice(
                key=f"report {seen.night}", priority=Priority.NORMAL, soon=True, title=f"The night of {seen.night}",
                quote=quoted(seen.why), do="`overnight report`",
            ) if seen.night else None  # fmt: skip
        case "anomaly.raised":
            return Notice(
                key=f"anomaly {seen.key or digest(seen.why)}", task=seen.task, repo=seen.repo,
                priority=_SEVERITY.get(seen.severity, Priority.HIGH),
                title="Something is unusual", quote=quoted(seen.why), do="`overnight status`",
            )  # fmt: skip
        case "notify.dead":
            return Notice(
                key=f"dead {seen.target}", priority=Priority.HIGH, but=seen.target, quote=quoted(seen.why),
                title=f"Nothing reaches you by way of {seen.target!r}", do=f"`overnight notify test {seen.target}`",
            )  # fmt: skip
        case "notify.deaf":
            return Notice(
                key=f"deaf {seen.target}", priority=Priority.HIGH, quote=quoted(seen.why),
                title=f"Your presses and replies on {seen.target!r} don't reach Overnight", do="`overnight doctor`",
            )  # fmt: skip
        case _:
            return None


def _held(seen: Happening, hold: Hold) -> Notice | None:
    if hold.reason in _SILENT:
        return None
    if hold.reason in (HoldReason.FAULT, HoldReason.BOX_UNAVAILABLE) and hold.until is not None and hold.late is None:
        return None  # it is tried again by itself, and told when that is over
    if hold.reason is HoldReason.DEPENDENCY and "is " not in hold.why:
        return None  # the other task has not ended
    priority = _PRIORITY.get(hold.reason, Priority.HIGH)
    if hold.until is None and hold.reason in PASSING:
        priority = Priority.HIGH  # nobody knows when it passes: it does not, without a person
    if hold.reason in _SHARED:
        return Notice(
            key=f"held {hold.reason} {hold.about}".rstrip(), priority=priority, title=_shared(hold),
            quote=quoted(hold.why), do=_do(hold), held=hold.reason, about=hold.about,
        )  # fmt: skip
    which = f"{seen.ask or seen.life} {digest(hold.why)}"
    return Notice(
        key=f"held {seen.task} {hold.reason} {which}", priority=priority, task=seen.task, repo=seen.repo,
        title=f"{_name(seen)} {_WORDS.get(hold.reason, f'is held: {hold.reason}')}", quote=quoted(hold.why),
        do=_do(hold), held=hold.reason, ask=seen.ask,
    )  # fmt: skip


def _shared(hold: Hold) -> str:
    return f"{_SHARED_WORDS[hold.reason]}{f' ({plain(hold.about, TITLE)})' if hold.about else ''}"


def _do(hold: Hold) -> str:
    return plain(hold.releases_on, QUOTE)


def _ended(seen: Happening) -> Notice | None:
    words = {"landed": "has landed", "failed": "has failed"}.get(seen.phase)
    if words is None:
        return None  # rejected, cancelled: a person's own wish
    return Notice(
        key=f"ended {seen.task} {seen.life}", priority=Priority.LOW if seen.phase == "landed" else Priority.NORMAL,
        title=f"{_name(seen)} {words}", quote=quoted(seen.why), task=seen.task, repo=seen.repo,
        do="" if seen.phase == "landed" else f"`overnight show {seen.task}`",
    )  # fmt: skip


def _name(seen: Happening) -> str:
    title = quoted(seen.title)
    return f"{seen.task} in {seen.repo}{f' “{_cut(title, TITLE)}”' if title else ''}"


def digest(text: str) -> str:
    """A short name of a text. Numbers are left out: a count or a time that changes is no other fact."""
    return sha256(re.sub(r"\d+", "", text).encode(errors="replace")).hexdigest()[:16]


# -- words of others ----------------------------------------------------------------------------------------


def plain(text: str, most: int) -> str:
    """One line without control characters and secrets, cut."""
    line = " ".join(redacted(sanitised(text[: 8 * most])).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def quoted(text: str) -> str:
    """What may be others' words: cleaned, cut, and no link that a thumb could hit."""
    return plain(text, QUOTE).replace("://", ": //")


# -- when ---------------------------------------------------------------------------------------------------


class Span(Struct, frozen=True):
    """A span of every day, in minutes since midnight of the local clock. It may go over midnight."""

    start: int
    end: int

    def has(self, minute: int) -> bool:
        """Whether a minute lies in it."""
        if self.start <= self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def read_time(text: str) -> int | None:
    """`07:30` as minutes since midnight; None for anything else."""
    match = _TIME.fullmatch(text)
    return 60 * int(match[1]) + int(match[2]) if match else None


def read_span(text: str) -> Span | None:
    """`22:00-07:00`; None for anything else, also for a span of no length."""
    start, dash, end = text.partition("-")
    first, last = read_time(start.strip()), read_time(end.strip())
    return Span(first, last) if dash and first is not None and last is not None and first != last else None


def when(notice: Notice, minute: int, quiet: Span | None, at_once: Sequence[Priority], digest_at: int) -> int | None:
    """The minute of a day at which a notice goes to a target next; None: at once.

    minute: of the local day now. at_once: what the target is told at once; the rest waits for the digest.
    """
    if notice.priority is Priority.URGENT:
        return None
    if notice.priority not in at_once and not notice.soon:
        # An hour of the digest within quiet hours would wake who wants to sleep.
        return quiet.end if quiet is not None and quiet.has(digest_at) else digest_at
    return quiet.end if quiet is not None and quiet.has(minute) else None


# -- in which words -----------------------------------------------------------------------------------------


def message_of(lines: Sequence[Line], *, heading: str = "") -> Message:
    """One text of some facts, what needs a person first. lines: not empty. heading: of more than one."""
    order = sorted(lines, key=_order)
    first = order[0]
    if len(order) == 1:
        return Message(
            title=_cut(_counted(first), 250),
            text=_body(first.notice) or first.notice.title,
            priority=first.notice.priority,
        )
    needs = sum(1 for line in order if _needs(line.notice))
    title = heading or (f"{needs} need you, {len(order)} in all" if needs else f"{len(order)} things happened")
    named = [f"- {_counted(line)}{_indented(_body(line.notice))}" for line in order[:NAMED]]
    return Message(title=title, text=_fitting(named, len(order)), priority=first.notice.priority)


def _order(line: Line) -> tuple[int, int]:
    return RANKS[line.notice.priority], 0 if line.notice.ask else 1


def _needs(notice: Notice) -> bool:
    return notice.priority in (Priority.URGENT, Priority.HIGH)


def _counted(line: Line) -> str:
    return f"{line.notice.title} ({line.count} times)" if line.count > 1 else line.notice.title


def _body(notice: Notice) -> str:
    parts = [f"» {notice.quote}" if notice.quote else "", f"→ {notice.do}" if notice.do else ""]
    return "\n".join(part for part in parts if part)


def _indented(text: str) -> str:
    return "".join(f"\n  {line}" for line in text.splitlines())


def _fitting(parts: Sequence[str], total: int) -> str:
    """As many as fit, and how many more there are."""
    kept: list[str] = []
    size = 0
    for part in parts:
        size += len(part.encode()) + 1
        if size > TEXT - 80:
            break
        kept.append(part)
    if total > len(kept):
        kept.append(f"and {total - len(kept)} more: `overnight status`")
    return "\n".join(kept)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
