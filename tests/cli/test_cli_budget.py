"""`overnight budget`: shows, sets and takes back."""

from __future__ import annotations

from pathlib import Path

from cli_stage import Desktop, make_repo


def test_budget_is_set_shown_and_taken_back(tmp_path: Path) -> None:
    """What is set goes before the settings, for the machine, a repo or a task, until it is taken back."""
    desktop = Desktop(tmp_path)
    shop = make_repo(tmp_path / "shop")
    desktop.ok("repo", "add", shop)
    assert "each task  5 USD" in desktop.ok("budget")
    assert "All runs in one day may spend 40 USD." in desktop.ok("budget", "set", "day", "40 USD")
    desktop.ok("budget", "set", "month", "20 USD", "--tokens", "5000000", "--repo", "shop")
    found = desktop.json("budget")
    by = {(view["repo"], view["span"]): view for view in found["spent"]}
    assert by[None, "day"]["limits"] == [{"usd": "40", "tokens": None}]
    assert by["shop", "month"]["limits"] == [{"usd": "20", "tokens": 5_000_000}]
    assert by[None, "day"]["until"] > found["at"]
    assert desktop.ok("budget", "unset", "day") == "The settings hold again.\n"
    assert desktop.ok("budget", "unset", "day") == "Nothing was set there.\n"


def test_bad_budgets_are_refused(tmp_path: Path) -> None:
    """Amounts carry their unit; a limit of one task is a limit of a task."""
    desktop = Desktop(tmp_path)
    for words in (("day", "40"), ("day",), ("week", "1 USD"), ("day", "1 USD", "--task", "x")):
        assert desktop.run("budget", "set", *words).exit_code == 2, words
