"""Where pull requests would be opened, and with what. Nobody is asked anything, and the token is not read."""

from __future__ import annotations

import importlib.util

from overnight.doctor.findings import Sighting, ok, warn
from overnight.doctor.look import Look
from overnight.landing.forge.scanner import program

_INSTALL = "`pip install 'overnight[github]'`"


def forge(look: Look) -> Sighting:
    """One line: the forge, its token's variable, its client and the scanner for secrets."""
    settings = look.settings.forge
    if settings.kind == "none":
        return ok("forge", "none: nothing leaves this machine")
    seen = f"{settings.kind} at {settings.api}"
    if importlib.util.find_spec("githubkit") is None:
        return warn("forge", f"{seen}, its client is not installed", _INSTALL)
    if program() is None:
        return warn("forge", f"{seen}, betterleaks is not installed: nothing is pushed without a scan", _INSTALL)
    if not look.environ.get(settings.token_variable):
        return warn(
            "forge",
            f"{seen}, {settings.token_variable} is not set",
            "put a token there, in the environment that the daemon is started in: docs/forge.md says which rights it needs",
        )
    if not settings.api.startswith("https://"):
        return warn("forge", f"{seen}, which is not encrypted", "set forge.api and forge.git to https:// addresses")
    return ok("forge", f"{seen}, with the token of {settings.token_variable}")
