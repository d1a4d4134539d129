"""`overnight.toml`: what is accepted, what is refused, and how well the refusal helps."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.config import read_policy
from overnight.errors import PolicyInvalid
from overnight.missions.policy import BoxLevel, BoxPolicy, Check, LandingMode, Limits, Paths, Policy

FILE = "overnight.toml"
EXAMPLE = """\
target  = "main"
landing = "merge"
agent   = "claude"
paths   = { forbidden = [".github/**", "infra/**"], sensitive = ["**/migrations/**"] }

[checks]
test = { run = "pytest -q", limit = "10m" }
lint = "ruff check"

[limits]
attempts = 3
wall     = "2h"
silence  = "8m"

[box]
minimum = "os"
egress  = ["registry.example.org"]
"""

NO_HOST = 'is not a host name: write it in lower case without scheme, port or path, such as "registry.example.org"'
NO_CHECK = (
    '`landing = "merge"` needs at least one check, for nothing else would prove the change: '
    'add [checks], or set landing = "branch"'
)


def refusal(text: str) -> list[str]:
    """The lines of the message with which a file is refused, one per problem."""
    with pytest.raises(PolicyInvalid) as caught:
        read_policy(text.encode(), FILE)
    return str(caught.value).splitlines()


def test_every_part_of_a_file_reaches_the_policy() -> None:
    """A complete file becomes the policy that it describes; a check may be a bare command."""
    assert read_policy(EXAMPLE.encode(), FILE) == Policy(
        target="main",
        landing=LandingMode.MERGE,
        agent="claude",
        paths=Paths(forbidden=(".github/**", "infra/**"), sensitive=("**/migrations/**",)),
        checks={"test": Check(run="pytest -q"), "lint": Check(run="ruff check")},
        limits=Limits(attempts=3),
        box=BoxPolicy(minimum=BoxLevel.OS, egress=("registry.example.org",)),
    )


def test_an_empty_file_is_the_default_policy() -> None:
    """Nothing is required: the defaults leave the result on a branch."""
    assert read_policy(b"", FILE) == Policy()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('agnet = "claude"', "1:1: unknown key `agnet` at the top of the file; did you mean `agent`?"),
        ("[limits]\nwal = 3", "2:1: unknown key `wal` in [limits]; did you mean `wall`?"),
        ("attempts = 3", "1:1: unknown key `attempts` at the top of the file; it belongs in [limits]"),
        (
            '[box]\nlanding = "branch"',
            "2:1: unknown key `landing` in [box]; it belongs at the top of the file, above any [table]",
        ),
        (
            "[limits]\nbudgets = 5",
            "2:1: unknown key `budgets` in [limits]; did you mean `budget`?",
        ),
        (
            '[limits]\nbudget = { day = "40 EUR" }',
            '2:18: `limits.budget.day.usd` must be a sum of money in quotes, such as "5 USD", not "40 EUR"',
        ),
        ("[[box]]", "1:3: `box` must be a table, not a list"),
        ('landing = "squash"', '1:11: `landing` must be one of "branch", "merge", "draft-pr", "pr", not "squash"'),
        (
            '[holds]\nneeds-approval = { after = "1d", then = "default" }',
            '2:41: `holds.needs-approval.then` must be one of "drop", "escalate", not "default"',
        ),
        (
            '[holds]\npaused = { after = "1d", then = "drop" }',
            '2:1: a hold of the reason "paused" does not wait for a person',
        ),
        (
            '[holds]\nstuk = { after = "1d", then = "drop" }',
            "2:1: unknown key `stuk` in [holds]; did you mean `stuck`?",
        ),
        ("agent = 3", "1:9: `agent` must be text in quotes, not 3"),
        ("agent = true", "1:9: `agent` must be text in quotes, not true"),
        ('agent = "a\\u0000"', '1:9: `agent` must be text without NUL characters, not "a\\u0000"'),
        ("limits = { attempts = 0 }", "1:23: `limits.attempts` must be a whole number from 1 to 20, not 0"),
        ("limits.attempts = true", "1:19: `limits.attempts` must be a whole number from 1 to 20, not true"),
        (
            "[limits]\nwall = 10",
            '2:8: `limits.wall` must be a duration in quotes, such as "90s", "10m" or "1h30m", not 10',
        ),
        (
            '[limits]\nwall = "10"',
            '2:8: `limits.wall` must be a duration in quotes, such as "90s", "10m" or "1h30m", not "10"',
        ),
        ('[limits]\nwall = "0s"', '2:8: `limits.wall` must be more than nothing, not "0s"'),
        ('[box]\negress = "example.org"', '2:10: `box.egress` must be a list: write ["example.org"]'),
        ('[box]\negress = [\n  "a.org",\n  7,\n]', "4:3: `box.egress[2]` must be text in quotes, not 7"),
        (
            '[box]\negress = ["https://a.org"]',
            f'2:11: "https://a.org" {NO_HOST}',
        ),
        (
            '[box]\negress = ["*.org"]',
            '2:11: "*.org" would open the whole network: name the hosts, such as "registry.example.org"',
        ),
        ('[checks]\ntest = ""', "2:8: `checks.test` has an empty command"),
        ('[checks.test]\nlimit = "5m"', "1:2: `checks.test` needs `run`"),
        ("[checks]\ntest = 3", "2:8: `checks.test` must be text in quotes or a table with `run`, not 3"),
        (
            '[checks]\n"a/b" = "true"',
            '2:1: "a/b" can\'t name a check: use up to 64 letters, digits, `.`, `_`, `-`',
        ),
        ('target = "refs/heads/main"', '1:10: `target` is a branch name without "refs/heads/": write "main"'),
        ('target = "a..b"', '1:10: `target` must be a branch name that git accepts, not "a..b"'),
        (
            'paths.forbidden = ["/etc"]',
            '1:20: `paths.forbidden` holds globs from the root of the repository, such as "infra/**", not "/etc"',
        ),
        (
            'landing = "merge"',
            f"1:11: {NO_CHECK}",
        ),
        ("a = \nb = 1", "1:5: Invalid value"),
        ("a", "1:2: Expected '=' after a key in a key/value pair at the end of the file"),
        ('\ufeffagent = "x"', "1:1: the file begins with a byte-order mark; save it as UTF-8 without one"),
        ('"\\u001b[31m" = 1', None),
    ],
)
def test_a_bad_file_is_refused_with_the_place_and_the_remedy(text: str, message: str | None) -> None:
    """Line, column, what is wrong, and what would be right; never a raw control character."""
    (line,) = refusal(text)
    assert line.isprintable()
    assert message is None or line == f"{FILE}:{message}"


def test_bytes_that_are_not_text_are_placed() -> None:
    """A byte that is not UTF-8 is shown by line and column."""
    with pytest.raises(PolicyInvalid, match=r"overnight\.toml:2:3: this byte is not UTF-8"):
        read_policy(b"# ok\n# \xff", FILE)


def test_columns_count_characters() -> None:
    """A place is what an editor shows, not an offset in bytes."""
    assert refusal('paths = { forbidden = ["größe/**", 3] }')[0].startswith(f"{FILE}:1:36:")


def test_all_problems_are_told_at_once() -> None:
    """A person who mends a file sees everything, in the order of the file."""
    lines = refusal('landing = "mrge"\n[limits]\nturns = 0\nsilnce = "8m"\n[checks]\nlint = ""\n')
    assert [line.split(": ")[0] for line in lines] == [f"{FILE}:1:11", f"{FILE}:3:9", f"{FILE}:4:1", f"{FILE}:6:8"]


def test_one_mistake_is_told_once() -> None:
    """A rule does not repeat what the shape's problem says: bad checks are not also missing checks."""
    assert len(refusal('landing = "merge"\n[checks]\ntest = 3\n')) == 1


def test_nested_values_do_not_break_the_reader() -> None:
    """A hostile depth is a refusal, not a crash."""
    for depth in (50, 100, 300, 5000):
        assert refusal("agent = " + "[" * depth + "]" * depth)


KEYS = st.sampled_from(["target", "landing", "agent", "checks", "limits", "box", "paths", "run", "wall", "x", '"q é"'])
VALUES = st.recursive(
    st.sampled_from(["1", "-0.5", "nan", '"10m"', '"main"', "true", "1979-05-27", "'''a\nb'''", '"merge"']),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda v: "[" + ", ".join(v) + "]")
        | st.dictionaries(KEYS, inner, max_size=3).map(
            lambda d: "{" + ", ".join(f"{k} = {v}" for k, v in d.items()) + "}"
        )
    ),
    max_leaves=5,
)
LINES = st.one_of(
    st.tuples(KEYS, VALUES).map(lambda kv: f"{kv[0]} = {kv[1]}"),
    st.tuples(KEYS, KEYS, VALUES).map(lambda kv: f"{kv[0]}.{kv[1]} = {kv[2]}"),
    KEYS.map(lambda k: f"[{k}]"),
    KEYS.map(lambda k: f"[[{k}]]"),
    st.text(max_size=20),
)


@given(st.one_of(st.binary(max_size=60), st.lists(LINES, max_size=8).map(lambda lines: "\n".join(lines).encode())))
@settings(deadline=None, max_examples=300)
def test_any_bytes_give_a_policy_or_a_placed_refusal(data: bytes) -> None:
    """No content of a file can raise anything else, and every problem has a place inside the file."""
    try:
        policy = read_policy(data, FILE)
    except PolicyInvalid as refused:
        for where, text in refused.fields["problems"]:
            file, line, column = where.split(":")
            assert file == FILE
            assert 1 <= int(line) <= data.count(b"\n") + 1
            assert int(column) >= 1
            assert text
    else:
        assert isinstance(policy, Policy)


def test_reading_a_good_file_stays_light() -> None:
    """Syntax trees, printing and command lines are not imported to read a policy."""
    program = (
        "import sys; from overnight.config import read_policy; read_policy(b'agent = \"x\"', 'f');"
        "print(*sorted({'rich', 'click', 'tree_sitter', 'tree_sitter_toml', 'asyncio'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
