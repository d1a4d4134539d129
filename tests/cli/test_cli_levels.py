"""`overnight levels`: the table, a person's own word on it, and what takes a level away whatever anybody said."""

from __future__ import annotations

from typing import Any

from cli_stage import POLICY, Desktop, git, make_repo

from overnight.flows.rehearsal import Act
from overnight.judge.autonomy import FATE, Fate, Told
from overnight.missions.codec import builtins


def shop(desktop: Desktop, autonomy: str = "") -> None:
    path = make_repo(desktop.folder / "shop", policy=f"{POLICY}\n[autonomy]\n{autonomy}\n")
    desktop.ok("repo", "add", path)


def level(desktop: Desktop, kind: str) -> dict[str, Any]:
    return next(row for row in desktop.json("levels") if row["kind"] == kind)


def land(desktop: Desktop, *titles: str) -> None:
    tasks = [desktop.add(title, "--as-is") for title in titles]
    desktop.drive({task: [Act.GOOD] for task in tasks})


def test_a_level_is_earned_kind_by_kind(desktop: Desktop) -> None:
    """Changes of one kind that landed lift that kind only, and the table says by what."""
    shop(desktop, "earn = true\nlanded = 2")
    assert {row["level"] for row in desktop.json("levels")} == {"L2"}
    land(desktop, "Fix the crash of the cart", "Fix the crash of the shop")
    fix = level(desktop, "fix")
    assert (fix["level"], fix["landed"], fix["why"]) == ("L3", 2, "2 changes in a row landed as they were")
    assert level(desktop, "feature")["level"] == "L2"
    assert "2 changes in a row landed as they were; 2 landed" in desktop.ok("levels", "--repo", "shop")


def test_a_persons_word_goes_before_the_record_and_within_the_policy(desktop: Desktop) -> None:
    """Up and down, bounded by the repo; a reset lets it begin anew."""
    shop(desktop, 'earn = true\nlanded = 2\nlevel = "L3"')
    desktop.ok("levels", "set", "shop", "fix", "L3")
    assert (level(desktop, "fix")["level"], "said so" in level(desktop, "fix")["why"]) == ("L3", True)
    desktop.ok("levels", "set", "shop", "fix", "L1")
    assert level(desktop, "fix")["level"] == "L1"
    desktop.ok("levels", "reset", "shop", "fix")
    assert (level(desktop, "fix")["level"], level(desktop, "fix")["why"]) == ("L2", "it has to be earned")
    path = desktop.folder / "shop" / "overnight.toml"
    path.write_text(path.read_text().replace('level = "L3"', 'level = "L2"'))
    git(path.parent, "commit", "-qam", "Less")
    desktop.ok("levels", "set", "shop", "fix", "L3")
    assert (level(desktop, "fix")["level"], "no more than L2" in level(desktop, "fix")["why"]) == ("L2", True)


def test_a_revert_takes_the_level_although_a_person_gave_it(desktop: Desktop) -> None:
    """As a record, which whoever sees a revert writes; a broken bound takes all of it."""
    shop(desktop)
    desktop.ok("levels", "set", "shop", "fix", "L3")
    for key, fate, left in (("one", Fate.REVERTED, "L2"), ("two", Fate.SECURITY, "L1")):
        told = Told(repo="shop", kind="fix", fate=fate, commit="c" * 40, why="it was taken back")
        desktop.call("put", kind=FATE, key=key, value=builtins(told))
        assert level(desktop, "fix")["level"] == left
    assert (level(desktop, "fix")["reverted"], level(desktop, "fix")["security"]) == (1, 1)
    assert level(desktop, "feature")["level"] == "L3"


def test_what_is_not_there_is_refused(desktop: Desktop) -> None:
    """A repo, a kind or a level of another name."""
    shop(desktop)
    for words in (("nope", "fix", "L2"), ("shop", "nope", "L2"), ("shop", "fix", "L4")):
        assert desktop.run("levels", "set", *words).exit_code == 2
