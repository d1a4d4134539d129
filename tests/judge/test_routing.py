"""Each task goes to the cheapest model that can do it, by rules that say why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.judge.routing import TIERS, Asked, Kind, Route, Routing, Rule, Tried, kind_of, ledger, route
from overnight.missions.policy import Tier
from overnight.missions.task import Repo, Task

MODELS = {Tier.SMALL: "s", Tier.STANDARD: "m", Tier.STRONG: "l"}
ROUTING = Routing(tiers=MODELS)


def task(text: str, **more: object) -> Task:
    return Task(id="t", repo=Repo(name="shop", path="/r", target="main"), title=text, text=text, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Fix the typo in README.md", Kind.TEXT),
        ("Rename load_cfg to load_config", Kind.CHORE),
        ("Bump lodash to 4.17.21", Kind.CHORE),
        ("Add tests for the parser", Kind.TEST),
        ("The export crashes on an empty file", Kind.FIX),
        ("Add a --json flag to status", Kind.FEATURE),
        ("Check permissions before deleting a comment", Kind.DELICATE),
        ("Write a migration that adds users.phone", Kind.DELICATE),
        ("Rename " + ", ".join(f"a{n}.py" for n in range(9)), Kind.FEATURE),
    ],
)
def test_words_tell_the_kind_of_work(text: str, kind: Kind) -> None:
    """The first telling word decides, dear mistakes before all else; a chore in many places is none."""
    assert kind_of(task(text))[0] is kind


@pytest.mark.parametrize(
    ("made", "asked", "routing", "model", "why"),
    [
        (task("Fix a typo"), Asked(), ROUTING, "s", 'text work ("typo")'),
        (task("Add a page"), Asked(), ROUTING, "m", "feature work (nothing says otherwise)"),
        (task("Add a login with OAuth"), Asked(), ROUTING, "l", 'delicate work ("OAuth")'),
        (task("Add a page", tier=Tier.STRONG), Asked(tier=Tier.SMALL), ROUTING, "l", "the task names this tier"),
        (task("Add a page", tier=Tier.STRONG), Asked(model="x"), ROUTING, "l", "the task names this tier"),
        (task("Add a page", model="x"), Asked(model="y"), ROUTING, "x", "the task names this model"),
        (task("Add a page"), Asked(model="y", tier=Tier.SMALL), ROUTING, "y", "the repo's policy names this model"),
        (task("Add a page"), Asked(tier=Tier.SMALL), ROUTING, "s", "the repo's policy names this tier"),
        (task("Add a page"), Asked(), Routing(), None, "no models are configured by tier: the agent chooses"),
        (
            task("Add a page"),
            Asked(),
            Routing(tiers=MODELS, rules=(Rule(tier=Tier.SMALL, words=("PAGE",)), Rule(tier=Tier.STRONG))),
            "s",
            'rule 1 of the settings ("PAGE")',
        ),
        (
            task("Add pages"),
            Asked(),
            Routing(tiers=MODELS, rules=(Rule(tier=Tier.SMALL, words=("page",)), Rule(tier=Tier.STRONG))),
            "l",
            "rule 2 of the settings",
        ),
        (
            task("Add pages"),
            Asked(),
            Routing(tiers=MODELS, rules=(Rule(tier=Tier.SMALL, repos=("other",)), Rule(tier=Tier.STRONG, kinds=(Kind.FIX,)))),
            "m",
            "feature work (nothing says otherwise)",
        ),
    ],
)  # fmt: skip
def test_the_first_word_on_it_decides(made: Task, asked: Asked, routing: Routing, model: str | None, why: str) -> None:
    """Task before repo, model before tier, rules before words; and the route says which it was."""
    chosen = route(made, asked, routing)
    assert (chosen.model, chosen.why[0]) == (model, why)


def test_a_tier_without_a_model_takes_the_next_dearer() -> None:
    """What is not there is replaced upwards first, and the route says so."""
    chosen = route(task("Fix a typo"), Asked(), Routing(tiers={Tier.STANDARD: "m"}))
    assert (chosen.tier, chosen.model, chosen.why[-1]) == (Tier.STANDARD, "m", "small has no model here")
    chosen = route(task("Fix the login password check"), Asked(), Routing(tiers={Tier.SMALL: "s"}))
    assert (chosen.tier, chosen.model) == (Tier.SMALL, "s")


def test_a_failed_attempt_is_followed_by_a_dearer_model() -> None:
    """Each failure goes one tier up, the strongest is the end; it can be switched off."""
    models = [route(task("Fix a typo"), Asked(), ROUTING, failed=n).model for n in range(5)]
    assert models == ["s", "m", "l", "l", "l"]
    still = Routing(tiers=MODELS, escalate=False)
    assert route(task("Fix a typo"), Asked(), still, failed=3).model == "s"


def test_little_budget_means_a_cheaper_model() -> None:
    """Below the threshold it goes one tier down, never below small; an unknown rest changes nothing."""
    assert route(task("Add a page"), Asked(), ROUTING, left=0.05).model == "s"
    assert route(task("Add a page"), Asked(), ROUTING, left=0.5).model == "m"
    assert route(task("Fix a typo"), Asked(), ROUTING, left=0.0).model == "s"


TASKS = st.builds(task, st.sampled_from(["Fix a typo", "Add a page", "Change the database schema", "Add tests for x"]))


@given(TASKS, st.dictionaries(st.sampled_from(TIERS), st.sampled_from("abc"), min_size=1), st.integers(0, 5))
def test_more_failures_never_mean_a_cheaper_tier(made: Task, tiers: dict[Tier, str], failed: int) -> None:
    """Escalation only goes up, and a configured machine always gets one of its models."""
    routing = Routing(tiers=tiers)
    first, later = (route(made, Asked(), routing, failed=n) for n in (failed, failed + 1))
    assert first.tier is not None
    assert later.tier is not None
    assert TIERS.index(later.tier) >= TIERS.index(first.tier)
    assert {first.model, later.model} <= set(tiers.values())
    assert first.why
    assert first == Route(kind=first.kind, tier=first.tier, model=tiers[first.tier], why=first.why)


def test_the_ledger_adds_up_what_is_known() -> None:
    """Runs, landings and known costs for each kind and model; an unknown cost is counted and not taken for zero."""
    tried = [
        Tried(kind=Kind.FIX, tier=Tier.STRONG, model="l", landed=True, cost=2.0),
        Tried(kind=Kind.FIX, tier=Tier.SMALL, model="s", landed=False, cost=0.5),
        Tried(kind=Kind.FIX, tier=Tier.SMALL, model="s", landed=True, cost=None),
        Tried(kind=Kind.CHORE, tier=None, model=None, landed=True, cost=None),
    ]
    assert [(x.kind, x.model, x.runs, x.landed, x.cost, x.unpriced) for x in ledger(tried)] == [
        (Kind.CHORE, None, 1, 1, None, 1),
        (Kind.FIX, "s", 2, 1, 0.5, 1),
        (Kind.FIX, "l", 1, 1, 2.0, 0),
    ]
