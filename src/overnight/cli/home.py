"""Where this person's Overnight lives, and how a command asks it for something."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from overnight.config import Settings
    from overnight.durable.desk import Verbs
    from overnight.durable.journal import Journal
    from overnight.guard.redact import Redactor
    from overnight.report.views import DaemonView


def settings() -> Settings:
    """The machine's settings. Raises SettingsInvalid."""
    from overnight.config import read_settings

    return read_settings()


def state_folder() -> Path:
    """The state folder. Raises SettingsInvalid when the settings name it and can't be read."""
    if named := os.environ.get("OVERNIGHT_HOME"):
        return Path(named).absolute()
    from overnight.config import state_home

    return state_home(settings())


def redactor() -> Redactor:
    """Takes this machine's secrets out of texts: those of the environment, and the settings' patterns."""
    from overnight.guard.redact import Redactor, known_secrets

    return Redactor(known_secrets(os.environ), settings().redact.patterns)


def ask(verb: str, **arguments: Any) -> Any:
    """Change something: by way of the daemon, or in the journal itself where none runs. Raises what the verb raises."""
    from overnight.durable.client import Client
    from overnight.durable.wire import NAME
    from overnight.errors import DaemonUnreachable

    home = state_folder()
    try:
        return Client(home, more=_people).call(verb, **arguments)
    except TimeoutError as error:
        raise DaemonUnreachable(path=home / NAME) from error


def _people(journal: Journal) -> Verbs:
    from overnight.people.verbs import verbs

    return verbs(journal, settings().people)


def user() -> str:
    """The name of the user of this machine who types."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def daemon() -> DaemonView | None:
    """What the daemon says of itself; None when none answers."""
    from overnight.durable.client import Client
    from overnight.missions.codec import convert
    from overnight.report.views import DaemonView

    said = Client(state_folder()).running()
    return None if said is None else convert(said, DaemonView)
