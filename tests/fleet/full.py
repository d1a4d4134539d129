"""A run whose agent fills the disk. `python full.py FOLDER`, in a mount namespace of its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from scene import Scene, within

from overnight.fleet.local import read_outcome
from overnight.missions.run import RunOutcome

#: Says its last word while there is room, and leaves no free page.
FILL = "echo done; exec 9>bell; echo up >&9; for block in 1M 4k 1; do dd if=/dev/zero of=filler.$block bs=$block 2>/dev/null; done; exit 0"


async def story(scene: Scene) -> RunOutcome:
    """Run it, free the disk when the box is gone, and hear how it ended."""
    run = asyncio.create_task(scene.fleet().run(scene.spec()))
    assert await scene.bell.rings() == "up\n"
    while not scene.bell.let_go():  # noqa: ASYNC110 (nobody announces it)
        await asyncio.sleep(0)
    done, _ = await asyncio.wait([run], timeout=1.0)
    assert not done
    print("waited" if read_outcome(scene.folder) is None else "did not wait")
    for path in scene.work.glob("filler.*"):
        path.unlink()
    return await run


def main() -> None:
    """Prints what was seen."""
    scene = Scene(Path(sys.argv[1]))
    scene.config("", "none", FILL)
    outcome = within(story(scene))
    print(outcome.end.value, "full" if list(scene.folder.glob("*.part")) else "empty")
    scene.close()


if __name__ == "__main__":
    main()
