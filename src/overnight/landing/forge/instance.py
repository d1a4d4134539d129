"""Which Overnight this is: an id of its own, by which it knows what it opened on a forge."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def instance_of(state: Path) -> str:
    """The id that this state folder has had since it was first asked: 32 hex digits."""
    path = state / "forge" / "instance"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        making = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        with making.open("x") as file:
            file.write(uuid.uuid4().hex)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(making, path)  # whoever was quicker stays
        except FileExistsError:
            pass
        finally:
            making.unlink()
    return path.read_text().strip()
