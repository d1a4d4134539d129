"""`python -P -m overnight.doctor AGENT STATE`: play the canary and print what it showed, as JSON. For the daemon."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from overnight.doctor.canary import canary, ended_by_signal
from overnight.missions.codec import encode


def main() -> None:
    """Exit code 0 once there is something to print, passed or not."""
    agent, state = sys.argv[1:]
    shown = asyncio.run(ended_by_signal(canary(agent, Path(state), os.environ)))
    sys.stdout.buffer.write(encode(shown))


if __name__ == "__main__":
    main()
