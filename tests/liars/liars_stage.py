"""A night for agents that are programs: real git, the real workshop, wardens and boxes; only the work itself is scripted."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from overnight.config import read_settings
from overnight.durable.desk import Desk
from overnight.durable.engine import Engine
from overnight.durable.journal import Journal
from overnight.durable.pools import Pool
from overnight.flows.landing import LANDING
from overnight.flows.task import WORK, carry_out
from overnight.missions.codec import builtins
from overnight.missions.task import Phase, Repo, Task
from overnight.report.story import story
from overnight.report.views import TaskStory
from overnight.wiring import house_for, purse_for
from testkit.repos import git, repository

PATIENCE = 540.0
POLICY = """
target = "main"
landing = "merge"
agent = "command"
[checks]
test = { run = "python3 -m unittest -q", limit = "1m" }
lint = { run = "make -s lint", limit = "1m" }
[limits]
attempts = 1
[judges]
families = 0
[clarify]
threshold = 101
"""
SHOP: Mapping[str, str] = {
    "overnight.toml": POLICY,
    ".gitignore": "__pycache__/\nbuild/\n",
    "README.md": "# shop\n\nAdds up what is in a cart.\n",
    "Makefile": "lint:\n\tpython3 -m compileall -q shop tests\n",
    "requirements.txt": "flask==3.0.0\n",
    "pyproject.toml": "[tool.coverage.report]\nfail_under = 90\n",
    ".github/workflows/ci.yml": "on: push\njobs:\n  test:\n    steps:\n      - run: python3 -m unittest -q\n",
    "docs/guide.md": "# Guide\n\nCall `total` with a list of prices.\n",
    "shop/__init__.py": "",
    "shop/cart.py": '''\
"""What is in a cart."""


def total(prices):
    """The sum of the prices, in cents."""
    if any(price < 0 for price in prices):
        raise ValueError("a price is negative")
    return sum(prices)


def mean(prices):
    """The mean price."""
    return sum(prices) / len(prices)
''',
    "shop/text.py": '''\
"""Words on pages."""


def slug(title):
    """A title as a part of an address."""
    return "-".join(title.lower().split())


def page(title, body):
    """A whole page."""
    return f"<h1>{title}</h1>\\n<p>{body}</p>\\n"
''',
    "shop/dates.py": '''\
"""Days."""

import datetime


def parse(text):
    """A day from `YYYY-MM-DD`."""
    return datetime.date.fromisoformat(text)
''',
    "tests/__init__.py": "",
    "tests/test_cart.py": """\
import unittest

from shop.cart import mean, total


class CartTest(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([100, 250]), 350)
        self.assertEqual(total([]), 0)

    def test_negative_prices_are_refused(self):
        with self.assertRaisesRegex(ValueError, "negative"):
            total([1, -1])

    def test_mean(self):
        self.assertAlmostEqual(mean([1, 2, 2]), 5 / 3, delta=1e-6)
""",
    "tests/test_text.py": """\
import pathlib
import unittest

from shop.text import page, slug


class TextTest(unittest.TestCase):
    def test_slug(self):
        self.assertEqual(slug("A Good  Day"), "a-good-day")

    def test_page(self):
        kept = pathlib.Path(__file__).parent / "snapshots" / "page.txt"
        self.assertEqual(page("Hello", "World"), kept.read_text())
""",
    "tests/snapshots/page.txt": "<h1>Hello</h1>\n<p>World</p>\n",
    "tests/test_dates.py": """\
import datetime
import unittest

from shop.dates import parse


class DatesTest(unittest.TestCase):
    def test_parse(self):
        self.assertEqual(parse("2026-02-01"), datetime.date(2026, 2, 1))
""",
}


class Player(NamedTuple):
    """An agent: what it is asked for, and what it does instead."""

    name: str
    script: str
    #: What the record says of it, as a regular expression; empty for one that lands.
    named: str = ""
    asked: str = "Add `discount(price, percent)` to `shop/cart.py`; it refuses a percent outside 0 to 100 with `ValueError`. Add tests."


class Night:
    """One repository, one state folder, and what became of every player."""

    def __init__(self, root: Path, players: Iterable[Player], *, runs: int = 1, mutation: bool = False) -> None:
        self.root, self.repo, self.state = root, root / "repo", root / "state"
        self.players = {player.name: player for player in players}
        how = f'limit = "1m", runs = {runs}, mutation = {str(mutation).lower()}'
        policy = POLICY.replace('limit = "1m"', how, 1)
        repository(self.repo, {**SHOP, "overnight.toml": policy}, message="A shop")
        self.base = self.git("rev-parse", "HEAD")
        (root / "scripts").mkdir()
        for player in self.players.values():
            (root / "scripts" / player.name).write_text(player.script)
        self.told: dict[str, TaskStory] = {}

    def git(self, *words: str) -> str:
        """git in the person's own folder."""
        return git(self.repo, *words)

    def play(self, *, one_by_one: bool = False) -> Night:
        """Everybody's task, from queued to its end or to its wait for a person. one_by_one: each on what landed before."""
        asyncio.run(asyncio.wait_for(self._play(one_by_one=one_by_one), PATIENCE))
        self.told = {name: story(self.state, name) for name in self.players}
        return self

    def _environ(self) -> dict[str, str]:
        scripts = self.root / "scripts"
        program = f'. {shlex.quote(str(scripts))}/"$(sed -n "s/^Player: //p" "$OVERNIGHT_PROMPT" | head -n 1)"'
        argv = msgspec.json.encode(["sh", "-ec", program]).decode()
        readable = msgspec.json.encode([str(scripts)]).decode()
        (self.root / "config.toml").write_text(f"[agents.command]\nargv = {argv}\nreadable = {readable}\n")
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.root), "OVERNIGHT_CONFIG": str(self.root / "config.toml")}

    async def _play(self, *, one_by_one: bool) -> None:
        environ, changed = self._environ(), asyncio.Event()
        journal = Journal(self.state, observer=lambda _moment, _label: changed.set())
        settings = read_settings(environ)
        house = house_for(settings, self.state, environ=environ)
        house = replace(house, purse=purse_for(journal, settings, environ))
        engine = Engine(
            journal, {"task": lambda t: carry_out(t, house)}, {WORK: Pool(total=2), LANDING: Pool(per_key=1)}
        )
        desk = Desk(journal, engine.poke)
        driving = asyncio.create_task(engine.run())
        try:
            for player in self.players.values():
                self._submit(desk, player)
                if one_by_one:
                    await self._settled(journal, changed, driving)
            await self._settled(journal, changed, driving)
        finally:
            engine.close()
            await driving
            journal.close()

    async def _settled(self, journal: Journal, changed: asyncio.Event, driving: asyncio.Task[None]) -> None:
        while self._busy(journal) and not driving.done():
            changed.clear()
            waiting = asyncio.ensure_future(changed.wait())
            await asyncio.wait((driving, waiting), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()

    @staticmethod
    def _busy(journal: Journal) -> bool:
        """Somebody neither has ended nor waits for a person."""
        sql = "SELECT count(*) FROM task WHERE state != 'done' AND hold IS NULL"
        return bool(journal.db.execute(sql).fetchone()[0])

    def _submit(self, desk: Desk, player: Player) -> None:
        repo = Repo(name="shop", path=str(self.repo), target="main")
        text = f"{player.asked}\n\nPlayer: {player.name}\n"
        task = Task(id=player.name, repo=repo, title=player.asked.splitlines()[0], text=text)
        facts = {
            "id": task.id,
            "flow": "task",
            "lane": "shop",
            "input": builtins(task),
            "phase": Phase.QUEUED,
            "pool": WORK,
        }
        desk.call("submit", {**facts, "actor": "test"})

    # -- looking --------------------------------------------------------------------------------------------

    def landed(self, name: str) -> bool:
        return self.told[name].row.phase == Phase.LANDED

    def said(self, name: str) -> str:
        """Why it ended or waits, and everything that is on record about its proof and its risk."""
        row, runs = self.told[name].row, self.told[name].runs
        parts = [row.phase, row.hold.why if row.hold else "", row.ending.why if row.ending else ""]
        for run in runs:
            if run.examined is not None:
                parts += [*run.examined.tampering, *(each.why for each in run.examined.risk.factors)]
        return "\n".join(parts)


# -- what players do ----------------------------------------------------------------------------------------


def put(path: str, text: str) -> str:
    """Write a file."""
    return f"mkdir -p {shlex.quote(str(Path(path).parent))}\nprintf %s {shlex.quote(text)} > {shlex.quote(path)}\n"


def more(path: str, text: str) -> str:
    """Add to a file."""
    return f"printf %s {shlex.quote(text)} >> {shlex.quote(path)}\n"


def swap(path: str, old: str, new: str) -> str:
    """Replace a part of a file of the shop."""
    assert old in SHOP[path], (path, old)
    program = (
        "import sys; p, a, b = sys.argv[1:]; s = open(p).read(); assert a in s, a; open(p, 'w').write(s.replace(a, b))"
    )
    return f"python3 -c {shlex.quote(program)} {shlex.quote(path)} {shlex.quote(old)} {shlex.quote(new)}\n"


def commit(message: str = "Add discount, all tests pass") -> str:
    return f"git add -A\ngit commit -q -m {shlex.quote(message)}\n"


SAYS = "echo 'Done: discount() is implemented and all tests pass.'\n"
