"""What the demo plays on: a small real repository, six tasks, and what the scripted model answers to each."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from overnight.agents.scripted import Play, Say, Scenario, Script, Stall, Use
from overnight.agents.scripted.script import Step

REPO = "shop"
#: The stall in the first task's run during which the demo kills the daemon.
HOLD = "daemon-dies"

FILES = {
    "shop.py": '"""Prices in cents."""\n\n\ndef total(items):\n    return sum(price * count for price, count in items)\n',
    "test_shop.py": """\
import unittest

from shop import total


class Total(unittest.TestCase):
    def test_sum(self):
        self.assertEqual(total([(250, 2), (100, 1)]), 600)

    def test_empty(self):
        self.assertEqual(total([]), 0)


if __name__ == "__main__":
    unittest.main()
""",
    "README.md": "# shop\n\nA shop that only knows how to add.\n",
    ".gitignore": "__pycache__/\n",
    "overnight.toml": """\
# overnight.toml
target  = "main"
landing = "merge"
agent   = "claude"

[checks]
test = { run = "python3 -m unittest -q", limit = "2m" }

[judges]
families = 0

[limits]
attempts = 2
wall     = "10m"
""",
}


class Asked(NamedTuple):
    """One task of the demo."""

    key: str
    title: str
    text: str


TASKS = (
    Asked("discount", "Add a discount", "Add `discount(cents, percent)` in discount.py, rounding half up, with tests."),
    Asked(
        "receipt", "Print a receipt", "Add `receipt(items)` in receipt.py: one line an item and the total, with tests."
    ),
    Asked("docs", "Document the rounding", "Say in README.md how discounts are rounded."),
    Asked("release", "Prepare a release", "Add a CHANGELOG.md with an entry for this version."),
    Asked("tests", "Test large sums", "Add a test to test_shop.py that `total` is right for amounts beyond 32 bits."),
    Asked("orders", "Keep orders", "Add db/migrations/0001_orders.sql: a table orders with id, cents and day."),
)
#: What a person says to results that wait: the words of `overnight`, before and after the task.
ANSWERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "tests": ("reject", ("a test may not be skipped",)),
    "orders": ("approve", ()),
}


def make_repository(path: Path) -> None:
    """A git repository with one commit and a passing test."""
    path.mkdir(parents=True)
    for name, text in FILES.items():
        (path / name).write_text(text)
    for command in (
        ("init", "-q", "-b", "main"),
        ("add", "-A"),
        ("-c", "user.name=Demo", "-c", "user.email=demo@localhost", "commit", "-q", "-m", "A shop that adds"),
    ):
        subprocess.run(["git", *command], cwd=path, check=True)


def the_play(outside: Path) -> Play:
    """What the model says. outside: a file that is none of the agents' business; one of them tries to write it."""
    scripts: dict[str, list[list[Step]]] = {
        "discount": [[Stall(HOLD, _bash(_DISCOUNT)), _commit("Add a discount"), Say("Added discount() with tests.")]],
        "receipt": [
            [_bash(_RECEIPT_WRONG), _commit("Print a receipt"), Say("The receipt is done, all tests pass.")],
            [_bash(_RECEIPT_RIGHT), _commit("Show the total of the receipt, not of its last item"), Say("Mended.")],
        ],
        "docs": [[Say("Done! The rounding is documented in README.md.")]],
        "tests": [
            [_bash(_SKIPPED), _commit("Test large sums"), Say("The new test is in and everything passes.")],
            [Say("I looked again: the tests are complete and all of them pass.")],
        ],
        "orders": [[_bash(_ORDERS), _commit("Keep orders"), Say("The migration is there.")]],
        "release": [
            [
                Use("Write", {"file_path": str(outside), "content": "I was here.\n"}),
                _bash(_CHANGELOG),
                _commit("Add a changelog"),
                Use("Bash", {"command": "git push origin HEAD:main", "description": "Push"}),
                Say("The release notes are committed; pushing was refused."),
            ]
        ],
    }
    return Play(
        tuple(
            Scenario(tuple(Script(tuple(steps)) for steps in scripts[task.key]), match=f"# {task.title}")
            for task in TASKS
        )
    )


def _bash(command: str) -> Use:
    return Use("Bash", {"command": command, "description": "Work"})


def _commit(message: str) -> Use:
    return _bash(f'python3 -m unittest -q; git add -A && git commit -q -m "{message}" && git log --oneline -1')


_DISCOUNT = """\
cat > discount.py <<'EOF'
def discount(cents, percent):
    return cents - (cents * percent + 50) // 100
EOF
cat > test_discount.py <<'EOF'
import unittest

from discount import discount


class Discount(unittest.TestCase):
    def test_ten_percent(self):
        self.assertEqual(discount(999, 10), 899)

    def test_none(self):
        self.assertEqual(discount(999, 0), 999)
EOF
"""

_RECEIPT = """\
cat > receipt.py <<'EOF'
from shop import total


def receipt(items):
    lines = [f"{{count}} x {{price}}" for price, count in items]
    return "\\n".join([*lines, f"total {{total({what})}}"])
EOF
cat > test_receipt.py <<'EOF'
import unittest

from receipt import receipt


class Receipt(unittest.TestCase):
    def test_lines(self):
        self.assertEqual(receipt([(250, 2), (100, 1)]), "2 x 250\\n1 x 100\\ntotal 600")
EOF
"""
_RECEIPT_WRONG = _RECEIPT.format(what="items[-1:]")
_RECEIPT_RIGHT = _RECEIPT.format(what="items")

_CHANGELOG = """\
cat > CHANGELOG.md <<'EOF'
# Changelog

## 0.1.0
- The shop adds.
EOF
"""

_SKIPPED = """\
python3 - <<'EOF'
import pathlib

tests = pathlib.Path("test_shop.py")
text = tests.read_text()
tests.write_text(text.replace("    def test_", '    @unittest.skip("slow")\\n    def test_', 1))
EOF
"""
_ORDERS = """\
mkdir -p db/migrations
cat > db/migrations/0001_orders.sql <<'EOF'
CREATE TABLE orders(id INTEGER PRIMARY KEY, cents INTEGER NOT NULL, day TEXT NOT NULL);
EOF
"""
