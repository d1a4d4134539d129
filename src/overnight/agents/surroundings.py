"""The environment that every agent gets: exact, nothing of the person's own."""

from __future__ import annotations

from collections.abc import Mapping

from overnight.errors import SettingsInvalid
from overnight.ports import Place

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOOPBACK = "127.0.0.1,localhost,::1"


def surroundings(place: Place) -> dict[str, str]:
    """HOME, PATH, the egress proxy for everything but loopback, and no program that waits for a person."""
    proxy = f"http://127.0.0.1:{place.ports.proxy}"
    return {
        "HOME": place.home,
        "PATH": PATH,
        "LANG": "C.UTF-8",
        # Tools differ in which case they read.
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), _LOOPBACK),
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "true",
        "GIT_TERMINAL_PROMPT": "0",
    }


def extended(own: Mapping[str, str], extra: Mapping[str, str], where: str, reserved: tuple[str, ...]) -> dict[str, str]:
    """The environment with the settings' variables added.

    reserved: prefixes that settings may not set. Raises SettingsInvalid for those and for variables that
    Overnight sets itself: they would move the agent's home, its route or who pays. PATH may be set.
    """
    for name in extra:
        if (name in own and name != "PATH") or name.startswith(reserved):
            problem = f"{name!r} is set by Overnight alone. Remove it; routes have settings of their own"
            raise SettingsInvalid(where=where, problem=problem)
    return {**own, **extra}
