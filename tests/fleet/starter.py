"""A daemon's part, to be killed: starts a run and waits for it. `python starter.py STATE WARDEN... < spec.json`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from overnight.fleet.local import LocalFleet
from overnight.missions.codec import decode
from overnight.missions.run import RunSpec

asyncio.run(LocalFleet(Path(sys.argv[1]), sys.argv[2:], os.environ).run(decode(sys.stdin.read(), RunSpec)))
