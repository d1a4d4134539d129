"""A secret and terminal escapes, planted wherever an agent can put them, are nowhere but in the raw files afterwards."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from cli_stage import Desktop, git, make_repo
from msgspec.structs import replace

from overnight.config import read_settings
from overnight.durable.engine import Engine
from overnight.durable.journal import Journal
from overnight.durable.pools import Pool
from overnight.flows.landing import LANDING
from overnight.flows.task import WORK, carry_out
from overnight.wiring import house_for, purse_for

TAIL = "a1B2c3D4e5F6" * 3
SECRET = f"ghp_{TAIL}"
#: First run: leave it in a file's name and content, a commit message, a branch, the last words, the errors. Second: mend.
AGENT = r"""
S="ghp_$(cat tail)"; E=$(printf '\033[31m')
if [ -f leak.txt ]; then echo fixed > fixed; git add -A; git commit -qm "Mended"; echo "BLOCKED? no, done"; exit; fi
git checkout -q -b "side-$S"
echo x > "name-$S.txt"; printf '%s\n%s\n' "$S" "$E" > leak.txt
git add -A; git commit -qm "Message $S $E"
git branch "more-$S"
printf '%s the key is %s\n' "$E" "$S"; printf '%s on stderr\n' "$S" >&2
"""
POLICY = """
target = "main"
landing = "merge"
agent = "command"
[checks]
test = "if [ -f leak.txt ]; then cat leak.txt; ls; git log -1 --format=%B; test -f fixed; fi"
[limits]
attempts = 2
[box]
minimum = "none"
[judges]
families = 0
[clarify]
threshold = 101
"""


async def work(desktop: Desktop) -> None:
    """Everything that is queued, with real wardens, checks and landings."""
    settings = read_settings(desktop.env)
    journal = Journal(desktop.home)
    house = house_for(settings, desktop.home, environ=desktop.env)
    house = replace(house, purse=purse_for(journal, settings, desktop.env))
    engine = Engine(journal, {"task": lambda t: carry_out(t, house)}, {WORK: Pool(total=1), LANDING: Pool(per_key=1)})
    driving = asyncio.create_task(engine.run())
    try:
        async with asyncio.timeout(120):
            await engine.idle()
    finally:
        engine.close()
        await driving
        journal.close()


def test_planted_secrets_do_not_get_out(tmp_path: Path) -> None:
    """Not into the journal, not into what commands print, not into the next run's prompt; the work itself lands."""
    desktop = Desktop(tmp_path)
    argv = json.dumps(["sh", "-c", AGENT])
    (tmp_path / "config.toml").write_text(f'[box]\nname = "none"\ni_know = true\n[agents.command]\nargv = {argv}\n')
    shop = make_repo(tmp_path / "shop", POLICY)
    (shop / "tail").write_text(TAIL)
    git(shop, "add", "-A")
    git(shop, "commit", "-q", "-m", "tail")
    desktop.ok("repo", "add", shop)
    task = desktop.add("Do what is to be done")
    asyncio.run(work(desktop))

    runs = desktop.home / "runs" / task / "1"
    assert SECRET in (runs / "1" / "agent.jsonl").read_text()
    assert SECRET in (runs / "1" / "agent.err").read_text()
    told = desktop.json("show", task)
    assert told["row"]["phase"] == "landed", told["row"]
    assert any("[redacted]" in name for name in told["runs"][0]["result"]["changed"])
    assert "[redacted]" in told["runs"][0]["outcome"]["said"]
    prompt = (runs / "2" / "prompt.md").read_text()
    assert "[redacted]" in prompt

    kept = [
        *desktop.home.glob("journal.db*"),
        *runs.rglob("outcome.json"),
        *runs.rglob("spec.json"),
        *runs.rglob("events.ndjson"),
        *runs.rglob("prompt.md"),
    ]
    for path in kept:
        data = path.read_bytes()
        assert SECRET.encode() not in data, path
        assert b"\x1b[31m" not in data, path
        assert b"u001b" not in data, path
    for words in (
        ("show", task), ("show", task, "--json"), ("log", task), ("log", task, "--run", "1", "--all"),
        ("log", task, "--run", "1", "--raw"), ("status",), ("status", "--json"), ("diff", task, "--stat"),
        ("audit", "show"), ("audit", "verify"), ("journal", "verify"),
    ):  # fmt: skip
        said = desktop.ok(*words)
        assert said, words
        assert SECRET not in said, words
        assert "\x1b" not in said or "--raw" in words, words
        assert "u001b" not in said, words
    patch = desktop.run("diff", task)
    assert SECRET in patch.stdout  # a patch is exact, and a note says so
    assert "looks like a secret" in patch.stderr
