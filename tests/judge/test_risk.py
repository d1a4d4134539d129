"""Risk is a number with a reason for every point, and some things no number outweighs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from overnight.judge.change import Change, Sort, gone_lines, new_lines, sort_of
from overnight.judge.risk import Band, Facts, assess, with_doubts
from overnight.missions.judging import RiskWeights, Risky

SMALL = Change(path="src/app.py", before="a = 1\n", after="a = 2\n", added=1, removed=1)
TEST = Change(path="tests/test_app.py", before="", after="assert 1\n", added=1)


@pytest.mark.parametrize(
    ("path", "sort"),
    [
        ("src/app.py", Sort.SOURCE),
        ("overnight.toml", Sort.POLICY),
        ("sub/overnight.toml", Sort.OTHER),
        (".github/workflows/test.yml", Sort.CI),
        (".claude/settings.json", Sort.AGENT),
        ("sub/CLAUDE.md", Sort.AGENT),
        ("web/package-lock.json", Sort.LOCK),
        ("package.json", Sort.MANIFEST),
        ("requirements-dev.txt", Sort.MANIFEST),
        ("conftest.py", Sort.CHECKS),
        ("tests/conftest.py", Sort.CHECKS),
        ("app/migrations/0003_users.py", Sort.MIGRATION),
        ("tests/test_app.py", Sort.TEST),
        ("pkg/app_test.go", Sort.TEST),
        ("web/src/App.test.tsx", Sort.TEST),
        ("src/test/java/AppTest.java", Sort.TEST),
        ("web/__snapshots__/App.snap", Sort.SNAPSHOT),
        ("docs/guide.md", Sort.TEXT),
        ("README.md", Sort.TEXT),
        ("logo.png", Sort.OTHER),
        ("latest/notes.py", Sort.SOURCE),
    ],
)
def test_a_path_tells_what_kind_of_file_it_is(path: str, sort: Sort) -> None:
    """Names decide, whatever folder they are in."""
    assert sort_of(path) is sort


def test_a_line_that_moved_is_neither_new_nor_gone() -> None:
    """Lines are compared by how often they are there."""
    change = Change(path="a", before="one\ntwo\nthree\n", after="three\none\nfour\nfour\n")
    assert (new_lines(change), gone_lines(change)) == (["four", "four"], ["two"])


FACTORS: list[tuple[Facts, str]] = [
    (Facts(changes=(replace(SMALL, added=400),)), "lines"),
    (Facts(changes=tuple(replace(SMALL, path=f"src/{n}.py") for n in range(9))), "files"),
    (Facts(changes=(replace(SMALL, removed=300),)), "deletions"),
    (Facts(changes=(SMALL,), sensitive=("src/**",)), "sensitive"),
    (Facts(changes=(Change(path=".github/workflows/x.yml", added=1),)), "workflows"),
    (Facts(changes=(Change(path="pytest.ini", added=1),)), "checks"),
    (Facts(changes=(Change(path=".vscode/tasks.json", added=1),)), "agents"),
    (Facts(changes=(Change(path="poetry.lock", added=1),)), "dependencies"),
    (Facts(changes=(Change(path="db/migrations/1.sql", added=1),)), "migrations"),
    (Facts(changes=(Change(path="src/auth/token.py", added=1),)), "security"),
    (Facts(changes=(Change(path="a.py", before="", after="x = hmac.new(k)\n", added=1),)), "security"),
    (Facts(changes=(Change(path="a.py", before="", after="requests.get(u)\n", added=1),)), "network"),
    (Facts(changes=(Change(path="a.py", before="def f(a):\n", after="", removed=1),)), "interfaces"),
    (Facts(changes=(Change(path="a.go", before="func Run(x int) {\n", after="", removed=1),)), "interfaces"),
    (Facts(changes=(SMALL,)), "untested"),
    (Facts(changes=(TEST,)), "tests_only"),
    (Facts(changes=tuple(Change(path=f"o/{n}.txt") for n in range(9)), named=("src/app.py",)), "scope"),
    (Facts(changes=(SMALL,), named=("`no_such_name`",)), "missed"),
    (Facts(suspicious=("fewer assertions in tests/a.py",)), "tamper"),
    (Facts(flaky=("test",)), "flaky"),
    (Facts(injections=("README.md",)), "injection"),
    (Facts(denials=2), "denials"),
    (Facts(trust=0.0), "author"),
    (Facts(landed=4, regretted=2), "record"),
]


@pytest.mark.parametrize(("facts", "factor"), FACTORS)
def test_every_factor_counts_and_says_why(facts: Facts, factor: str) -> None:
    """What is seen adds points under its own name, with words for a person; without its weight it adds none."""
    risk = assess(facts)
    found = next(each for each in risk.factors if each.name == factor)
    assert found.points > 0
    assert found.why
    without = assess(facts, Risky(weights=RiskWeights(**{factor: 0})))
    assert factor not in {each.name for each in without.factors}


def test_every_weight_is_some_factors() -> None:
    """No weight is without use, and none is missing."""
    assert {factor for _, factor in FACTORS} == set(RiskWeights.__struct_fields__) - {"doubts"}


def test_a_small_tested_change_is_low() -> None:
    """What most good changes look like lands."""
    assert assess(Facts(changes=(SMALL, TEST))).band is Band.LOW


@pytest.mark.parametrize(
    "facts",
    [
        Facts(changes=(SMALL,), forbidden=("src/**",)),
        Facts(changes=(Change(path="new.txt", was="src/app.py"),), forbidden=("src/**",)),
        Facts(changes=(Change(path="overnight.toml", added=1),)),
        Facts(failing=("test",)),
        Facts(tampered=("tests/test_a.py was deleted",)),
    ],
)
def test_a_hard_block_cannot_be_outweighed(facts: Facts) -> None:
    """Also with every weight at zero and the bands wide open it is high, and says why."""
    weightless = RiskWeights(**dict.fromkeys(RiskWeights.__struct_fields__, 0))
    risk = assess(facts, Risky(asks_from=100, blocks_from=100, weights=weightless))
    assert (risk.score, risk.band, len(risk.blocks)) == (0, Band.HIGH, 1)


CHANGES = st.builds(
    Change,
    path=st.sampled_from(["src/a.py", "tests/test_a.py", "poetry.lock", "README.md", "src/auth.py", "a/migrations/1.py"]),
    before=st.sampled_from([None, "", "def run(a):\n    pass\n"]),
    after=st.sampled_from([None, "", "requests.get(x)\n"]),
    added=st.integers(0, 2000),
    removed=st.integers(0, 2000),
)  # fmt: skip
FACTS = st.builds(
    Facts,
    changes=st.lists(CHANGES, max_size=6).map(tuple),
    sensitive=st.sampled_from([(), ("src/**",)]),
    named=st.sampled_from([(), ("src",)]),
    flaky=st.sampled_from([(), ("a",)]),
    suspicious=st.sampled_from([(), ("x",)]),
    denials=st.integers(0, 9),
    trust=st.floats(0, 1),
    landed=st.integers(0, 9),
    regretted=st.integers(0, 9),
)


@given(FACTS)
def test_the_factors_add_up_to_the_score(facts: Facts) -> None:
    """A person can check the sum: points by factor make the score, within rounding, and never more than 100."""
    risk = assess(facts)
    assert 0 <= risk.score <= 100
    assert abs(sum(each.points for each in risk.factors) - risk.score) <= 0.5 + 0.05 * len(risk.factors)


@given(FACTS, st.integers(0, 5))
def test_more_of_anything_bad_never_lowers_the_score(facts: Facts, more: int) -> None:
    """Risk is monotone in every factor that is counted."""
    base = assess(facts).score
    worse = [
        replace(facts, denials=facts.denials + more),
        replace(facts, trust=facts.trust / (1 + more)),
        replace(facts, regretted=facts.regretted + more),
        replace(facts, flaky=(*facts.flaky, "b")),
        replace(facts, suspicious=(*facts.suspicious, "y")),
        replace(facts, injections=("z",)),
        replace(facts, sensitive=("**",)),
        replace(facts, changes=tuple(replace(c, added=c.added + more, removed=c.removed + more) for c in facts.changes)),
        replace(facts, changes=(*facts.changes, Change(path="x.lock.d/poetry.lock", added=0, removed=more))),
    ]  # fmt: skip
    assert all(assess(each).score >= base for each in worse)


@given(FACTS, st.floats(0, 1), st.floats(0, 1))
def test_doubts_of_judges_add_to_it(facts: Facts, one: float, other: float) -> None:
    """The less sure the judges are, the higher the risk; without judges, or where they are sure, it stays."""
    risk = assess(facts)
    low, high = (with_doubts(risk, sure, Risky()).score for sure in sorted((one, other), reverse=True))
    assert risk.score <= low <= high <= 100
    assert with_doubts(risk, None, Risky()) == with_doubts(risk, 1.0, Risky()) == risk
