"""Who is told when something needs a person, and whether that worked. Nobody is written to."""

from __future__ import annotations

from overnight.doctor.findings import Sighting, ok, warn
from overnight.doctor.look import Look
from overnight.errors import BadInput
from overnight.people.secret import filled
from overnight.people.settings import Target, texts, words
from overnight.report.notify import targets


def notifier(look: Look) -> Sighting:
    """One line: every target, with what it lacks or what went wrong."""
    named = look.settings.notify.targets
    if not named:
        do = "name a target in [notify.targets] of config.toml; until then look at `overnight status` in the morning"
        return warn("notifier", "none configured: nobody is told at night", do)
    lacks = {name: why for name, target in named.items() if (why := _lacks(target, look))}
    seen = "; ".join(
        f"{words(name, target)}{f', {lacks[name]}' if name in lacks else ''}" for name, target in named.items()
    )
    if lacks:
        return warn("notifier", seen, "mend what it says, in the environment that the daemon is started in")
    failing = [view for view in targets(look.home, named) if view.why]
    if failing:
        trouble = "; ".join(f"{view.name}: {view.why} ({view.waiting} wait, {view.dead} given up)" for view in failing)
        return warn("notifier", f"{seen}. {trouble}", "`overnight notify test` tries each of them now")
    return ok("notifier", seen)


def _lacks(target: Target, look: Look) -> str:
    """What of a target's secrets is not there; empty when all is."""
    for text in texts(target):
        try:
            filled(text, look.environ)
        except BadInput as error:
            return str(error).rstrip(".")
    return ""
