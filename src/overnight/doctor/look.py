"""What the probes look at, and how they are asked: each for itself, none longer than it may take."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from overnight.config import Settings, read_settings, state_home
from overnight.doctor.findings import Sighting, fail
from overnight.errors import OvernightError

#: A probe that has not answered by then counts as failed.
PROBE_LIMIT_S = 5.0


class Look:
    """This machine, as the probes see it."""

    def __init__(self, environ: Mapping[str, str], root: Path = Path("/")) -> None:
        """root: where the system's own folders (`proc`, `sys`, `etc`) are looked for."""
        self.environ, self.root = environ, root

    @property
    def settings(self) -> Settings:
        """Raises SettingsInvalid."""
        return read_settings(self.environ)

    @property
    def home(self) -> Path:
        """The state folder. Raises SettingsInvalid where the settings would have to say."""
        if named := self.environ.get("OVERNIGHT_HOME"):
            return Path(named).absolute()
        return state_home(self.settings, self.environ)

    def text(self, path: str) -> str:
        """What a system's file holds; empty when it is not there."""
        try:
            return (self.root / path.lstrip("/")).read_text(errors="replace")
        except OSError:
            return ""


Probe = Callable[[Look], Sighting]


def there(path: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(each for each in (path, *path.parents) if each.exists())


def examine(look: Look, probes: Sequence[tuple[str, Probe]], limit: float = PROBE_LIMIT_S) -> tuple[Sighting, ...]:
    """Ask every probe at once; the lines in their order. One that crashes or hangs is a failed line.

    Threads that can be left behind: a probe that hangs in the kernel must not keep the others from being told.
    """
    asked = [_Asked(look, name, probe) for name, probe in probes]
    until = time.monotonic() + limit
    return tuple(each.answer(until, limit) for each in asked)


class _Asked:
    def __init__(self, look: Look, name: str, probe: Probe) -> None:
        self._look, self._name, self._probe = look, name, probe
        self._line: Sighting | None = None
        self._thread = threading.Thread(target=self._ask, name=f"doctor-{name}", daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self._line = self._probe(self._look)
        except OvernightError as error:
            self._line = fail(self._name, str(error), "do what it says")
        except Exception as error:  # a probe that stumbles is a finding about this machine, not a traceback
            self._line = fail(self._name, f"can't be looked at: {type(error).__name__}: {error}", "mend what it says")

    def answer(self, until: float, limit: float) -> Sighting:
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._line is None:
            return fail(self._name, f"no answer within {limit:g} s", "find out what it waits for: a mount, a program")
        return self._line


def running_as_root() -> bool:
    """Whether this process may do everything."""
    return os.geteuid() == 0
