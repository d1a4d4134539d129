"""From a name to a box, never a weaker one than asked for."""

from __future__ import annotations

from overnight.boxes.bubblewrap import Bubblewrap
from overnight.boxes.container import Container
from overnight.boxes.landlock import Landlock
from overnight.boxes.none import Unconfined
from overnight.boxes.settings import BoxSettings
from overnight.errors import BadInput, BoxUnavailable, NotConfirmed
from overnight.missions.policy import BoxLevel
from overnight.ports import Box

LEVELS = {
    "bubblewrap": BoxLevel.OS,
    "container": BoxLevel.CONTAINER,
    "landlock": BoxLevel.OS,
    "none": BoxLevel.NONE,
}
_STRENGTH = tuple(BoxLevel)


def choose(minimum: BoxLevel, wanted: str | None, confirmed: bool, settings: BoxSettings | None = None) -> Box:
    """The box called `wanted`; None takes bubblewrap, whatever the minimum.

    confirmed: a person said that running without a box is meant. Raises BadInput for an unknown name, NotConfirmed
    for `none` without that, BoxUnavailable when the box is weaker than `minimum`.
    """
    name = wanted or "bubblewrap"
    if name not in LEVELS:
        raise BadInput(problem=f"No box is called {name!r}. Known: {', '.join(LEVELS)}.")
    if _STRENGTH.index(LEVELS[name]) < _STRENGTH.index(minimum):
        raise BoxUnavailable(
            reason=f"the policy asks for a box of level {minimum.value!r} at least, and {name!r} is {LEVELS[name].value!r}",
            install="Choose a stronger box, or lower `minimum` under [box] in overnight.toml.",
        )
    if name == "none":
        if not confirmed:
            raise NotConfirmed(
                what="Running agents without a box",
                how="say in your own settings that they may do whatever you can do here",
            )
        return Unconfined()
    if name == "landlock":
        return Landlock(settings)
    if name == "container":
        return Container(settings)
    return Bubblewrap(settings)
