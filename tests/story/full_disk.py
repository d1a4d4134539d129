"""A state folder whose disk fills up and is freed again. `python full_disk.py FOLDER`, in a mount namespace of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nights import Night, kill_at

from overnight.durable.client import Client
from overnight.durable.journal import verify_journal
from overnight.errors import OvernightError


def fill(folder: Path) -> Path:
    """Leave not one free block."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                size //= 2
    return path


def refused(night: Night) -> str:
    """What somebody hears who queues a task on a full disk."""
    try:
        for n in range(200):
            Client(night.home).call("put", kind="note", key=f"n{n}", value="x" * 2000)
    except OvernightError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def main() -> None:
    """Queue, fill, try, free, drive."""
    night = Night(Path(sys.argv[1]) / "night")
    night.prepare()
    filler = fill(Path(sys.argv[1]))
    heard = refused(night)
    filler.unlink()
    night.drive(kill_at(0))
    count = verify_journal(night.home / "journal.db")
    sys.stdout.write(json.dumps({"heard": heard, "problems": night.problems(), "events": count}) + "\n")


if __name__ == "__main__":
    main()
