"""What an attack is."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent

from escape_scene import Scene
from msgspec import Struct

#: (scene, name of the attack) -> whether the attack got what it wanted, as seen from outside of the box.
Effect = Callable[[Scene, str], bool]


class Attack(Struct, frozen=True, kw_only=True):
    """Something that a hostile program may try, and how one sees from outside that it succeeded."""

    name: str
    #: Attacks of one round share a scene and one start of a box; the round's name says what they are about.
    round: str
    #: Python, run by `escape_inside`, which says what is at hand.
    script: str
    effect: Effect
    #: Looked at while the box stands, else when it is over.
    standing: bool = False
    #: Outside of a box it succeeds when root does it.
    root: bool = True
    #: The same for an ordinary user.
    user: bool = True
    #: What some machines lack, so that it may fail there even without a box: it proves nothing then.
    needs: str = ""


def attack(name: str, round: str, script: str, effect: Effect, **more: bool | str) -> Attack:  # noqa: A002
    """One attack; the script's indentation goes."""
    return Attack(name=name, round=round, script=dedent(script).strip() + "\n", effect=effect, **more)  # pyright: ignore[reportArgumentType] (told by name)
