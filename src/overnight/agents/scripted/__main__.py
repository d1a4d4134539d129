"""`python -m overnight.agents.scripted --port 0 --script FILE.json`: serve a script until the end of the process.

Prints the base URL as its first line. Ends with code 2 when the script file can't be used.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import msgspec

from overnight.agents.scripted.script import Play, load
from overnight.agents.scripted.server import playing


async def _serve(play: Play, port: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with playing(play, port) as (url, _):
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await ended.wait()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="overnight.agents.scripted", description="A scripted model on loopback.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--script", type=Path, required=True, help="JSON file of scenarios")
    args = parser.parse_args()
    try:
        play = load(args.script.read_bytes())
    except (OSError, msgspec.DecodeError) as problem:
        parser.exit(2, f"{args.script}: {problem}\n")
    asyncio.run(_serve(play, args.port))


if __name__ == "__main__":
    main()
