"""What gets out, as far as it is known. Every entry is a strict expected failure, so a box that learns to hold tells."""

from __future__ import annotations

from escape_people import PEOPLE
from msgspec import Struct

#: Backends besides `nothing`, the control, and who has them: Landlock refuses root, and the engines that are put up for
#: tests are root's.
BACKENDS = {"bubblewrap": PEOPLE, "podman": ("root",), "docker": ("root",), "landlock": ("user",)}


class Known(Struct, frozen=True, kw_only=True):
    """One attack that succeeds."""

    attack: str
    #: What that means for somebody who relies on the box, and what to do about it.
    why: str
    backends: tuple[str, ...] = tuple(BACKENDS)


_COVER = (
    "There is nothing over the worktree's `.git`. Git is called by Overnight so that nothing in it is obeyed, and it is "
    "put right before anybody else looks."
)
_LANDLOCK = {
    "read-password-file": "The machine's own list of users is shown.",
    "read-command-lines": "Command lines of other processes can be read. Nothing secret belongs into one.",
    "open-up-modes": "Permissions of the same user's files outside can be changed, if their path is known.",
    "forge-times": "So can their times.",
    "replace-git-file": _COVER,
    "rename-git-file": _COVER,
    "unmount-git-file": _COVER,
    "pin-process": "Another process of the same user can be kept to some processors.",
}
KNOWN = (
    Known(
        attack="tunnel-for-hidden-content",
        why="What goes to a listed host inside TLS is not looked at. List only hosts that can't pass anything on.",
    ),
    *(Known(attack=attack, why=why, backends=("landlock",)) for attack, why in _LANDLOCK.items()),
)


def known(backend: str, attack: str) -> Known | None:
    """The entry, if it is known to get out."""
    return next((entry for entry in KNOWN if entry.attack == attack and backend in entry.backends), None)
