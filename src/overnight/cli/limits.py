"""`overnight limits`"""

from __future__ import annotations

import time

import click

from overnight.cli import home
from overnight.cli.paper import Paper, Part, say, say_json
from overnight.cli.words import clock, since, until
from overnight.durable.limits import BREAKER, CEILING, LIFTED, WINDOWS
from overnight.errors import BadInput, BadUnit
from overnight.judge.breaker import State
from overnight.missions.hold import UNTIL_IT_WORKS, HoldReason
from overnight.missions.units import Duration, show_duration
from overnight.report.limits import AccountView, LimitsView, WindowView
from overnight.report.limits import limits as view_of

#: Unless a person says otherwise the ceilings are lifted for as long as the shorter window lasts.
LIFT_S = 5 * 3600.0
#: What tasks wait with until a limit passes or their account works.
_WAITS = (HoldReason.LIMIT_REACHED, *UNTIL_IT_WORKS)


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def limits(ctx: click.Context, as_json: bool) -> None:
    """What vendors allow and how much of it is used, as far as anybody said so, and which accounts work.

    An account is an agent and its way to its model, such as `claude direct`.
    """
    if ctx.invoked_subcommand is not None:
        return
    found = view_of(home.state_folder(), home.settings().limits.window, time.time())
    if as_json:
        say_json(found)
    else:
        draw(found).print()


@limits.command()
@click.option("--for", "span", default=None, metavar="TIME", help="How long, such as 2h. Default: 5h.")
def lift(span: str | None) -> None:
    """Let runs use what `[limits.window]` keeps free for you; what waits for that goes on."""
    seconds = LIFT_S if span is None else _span(span)
    home.ask("put", kind=CEILING, key=LIFTED, value={"until": time.time() + seconds})
    say(f"The ceilings are lifted for {show_duration(seconds)}. `overnight limits restore` takes that back.")
    _woken(home.ask("release", reason=HoldReason.LIMIT_REACHED.value))


@limits.command()
def restore() -> None:
    """Take back a `lift`: the ceilings hold again."""
    was = home.ask("drop", kind=CEILING, key=LIFTED)
    say("The ceilings hold again." if was else "They were not lifted.")


@limits.command()
@click.argument("account", nargs=-1)
def forget(account: tuple[str, ...]) -> None:
    """Forget what is known of an account, as after a new login; tasks that wait for it try again.

    ACCOUNT is a name as `overnight limits` shows it; without one all are forgotten.
    """
    names = [each.name for each in view_of(home.state_folder(), home.settings().limits.window, time.time()).accounts]
    wanted = " ".join(account)
    if wanted and wanted not in names:
        raise BadInput(problem=f"Nothing is known of an account {wanted!r}. Known: {', '.join(names) or 'none'}.")
    for name in [wanted] if wanted else names:
        for kind in (WINDOWS, BREAKER):
            home.ask("drop", kind=kind, key=name)
    say(f"Forgotten: {wanted or ', '.join(names) or 'nothing was known'}.")
    _woken(sum(home.ask("release", reason=reason.value, about=wanted or None) for reason in _WAITS))


def _span(text: str) -> float:
    try:
        return Duration.parse(text)
    except BadUnit as error:
        raise BadInput(problem=f"`--for`: {error}") from error


def _woken(count: int) -> None:
    if count:
        say(f"{count} that waited {'goes' if count == 1 else 'go'} on.")


# -- on paper -----------------------------------------------------------------------------------------------


def draw(found: LimitsView) -> Paper:
    """Each account: whether it works, then its windows."""
    paper = Paper()
    if found.lifted is not None:
        paper.line(("The ceilings are lifted", "bold yellow"), f" until {clock(found.lifted, found.at)}.")
    for account in found.accounts:
        paper.gap().line((account.name, "bold"), *state_words(account, found.at))
        rows = [_row(window, found.at) for window in account.windows]
        heads: list[Part] = [(head, "dim") for head in ("", "used", "begins anew", "runs", "source", "seen")]
        paper.grid([heads, *rows] if rows else [], indent=2)
        if not rows:
            paper.line(("nobody has said anything of its limits yet", "dim"), indent=2)
    if not found.accounts:
        paper.line("Nothing is known yet: no run has spoken to a model.")
    return paper


def state_words(account: AccountView, now: float) -> list[Part]:
    """`works`, or why not and what ends that."""
    if account.state is State.CLOSED:
        return [(" works", "green")]
    when = until(account.until, now) if account.until is not None else "once you say so: `overnight limits forget`"
    trying = f"{account.probe} tries it" if account.probe else f"one run tries it {when}"
    begun = clock(account.since or now, now)
    return [(f" does not work since {begun}", "red"), f" ({account.cause}): {account.why} → {trying}"]


def _row(window: WindowView, now: float) -> list[Part]:
    part = window.used
    style = "red" if window.status == "rejected" else "yellow" if part is not None and part >= 0.75 else ""
    used = "unknown" if part is None else f"{part:.0%}"
    used += {"rejected": ", used up", "allowed_warning": ", nearly used up"}.get(window.status, "")
    bounds = [f"start below {window.start_below} %"] if window.start_below is not None else []
    bounds += [f"end at {window.stop_above} %"] if window.stop_above is not None else []
    return [
        window.name,
        (used, style),
        until(window.resets, now) if window.resets is not None else "unknown",
        ", ".join(bounds) or "-",
        window.source,
        f"{since(window.seen, now)} ago" if now - window.seen >= 1 else "now",
    ]
