"""Where the audit lies: `STATE/audit/`. Names only, but for what is there.

key                       the private key that signs checkpoints, mode 0600
checkpoints.ndjson        signed: how far each file goes, and what retention removed
2026-11-21/heads.ndjson   which runs began that day (UTC), and how far the files of those go that ended
2026-11-21/people.ndjson  what people decided that day, and what was refused
2026-11-21/RUN.ndjson     the tool calls of one run that began that day
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from overnight.missions.places import split_run

SUFFIX = ".ndjson"
HEADS = "heads"
PEOPLE = "people"
CHECKPOINTS = "checkpoints"


class Places:
    """The audit's folder below a state folder."""

    def __init__(self, state: Path) -> None:
        self.top = state / "audit"
        self.key = self.top / "key"

    def path(self, name: str) -> Path:
        """The file of a name such as `2026-11-21/heads`."""
        return self.top / f"{name}{SUFFIX}"

    def days(self) -> list[str]:
        """The days there are folders for, in order."""
        found = self.top.iterdir() if self.top.is_dir() else ()
        return sorted(path.name for path in found if path.is_dir())

    def names(self) -> Iterator[str]:
        """The names of all files of all days, in order."""
        for day in self.days():
            for path in sorted((self.top / day).iterdir()):
                yield f"{day}/{path.name.removesuffix(SUFFIX)}"

    def runs(self, task: str | None = None) -> list[str]:
        """The names of the files of runs, in order of their days; of one task if given."""
        found = [name for name in self.names() if (owner := task_of(name)) is not None and task in (None, owner)]
        return sorted(found, key=lambda name: (day_of(name), *_order(run_of(name))))

    def make(self, day: str) -> None:
        """The folder of a day."""
        (self.top / day).mkdir(parents=True, exist_ok=True, mode=0o700)


def day_at(at: float | None = None) -> str:
    """The day, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(at))


def day_of(name: str) -> str:
    """The day in a file's name."""
    return name.partition("/")[0]


def run_of(name: str) -> str:
    """The run in the name of its file."""
    return name.partition("/")[2]


def task_of(name: str) -> str | None:
    """The task whose run has a file of this name; None when it is no run's."""
    try:
        return split_run(run_of(name))[0]
    except ValueError:
        return None


def _order(run: str) -> tuple[str, int, int]:
    task, life, n = split_run(run)
    return task, int(life), int(n)
