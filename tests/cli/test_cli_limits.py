"""`overnight limits`: what is known of accounts, the ceilings lifted and restored, and what is forgotten."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cli_stage import Desktop, make_repo

from overnight.durable.limits import BREAKER, WINDOWS
from overnight.judge.breaker import Breaker
from overnight.missions.codec import builtins
from overnight.missions.limits import Window
from overnight.missions.run import FailureClass

ACCOUNT = "claude direct"


def desktop_with(tmp_path: Path, *windows: Window, breaker: Breaker | None = None) -> Desktop:
    """A machine that knows these windows of an account."""
    desktop = Desktop(tmp_path)
    (tmp_path / "config.toml").write_text("[limits.window.five_hour]\nstart_below = 80\nstop_above = 95\n")
    desktop.ok("repo", "add", make_repo(tmp_path / "shop"))
    if windows:
        desktop.call("put", kind=WINDOWS, key=ACCOUNT, value=builtins(windows))
    if breaker is not None:
        desktop.call("put", kind=BREAKER, key=ACCOUNT, value=builtins(breaker))
    return desktop


def window(used: float | None, **more: float | str) -> Window:
    """The window of five hours, seen a minute ago, that ends in an hour."""
    now = time.time()
    own = {"status": "allowed", "resets": now + 3600, "seen": now - 60} | more
    return Window(name="five-hour", used=used, source="stream", **own)  # pyright: ignore[reportArgumentType]


def test_nothing_is_known(tmp_path: Path) -> None:
    """Before any run has spoken to a model the command says so, and ends well."""
    desktop = Desktop(tmp_path)
    desktop.ok("repo", "add", make_repo(tmp_path / "shop"))
    assert "no run has spoken to a model" in desktop.ok("limits")
    assert desktop.json("limits")["accounts"] == []


def test_windows_are_shown_with_source_and_age(tmp_path: Path) -> None:
    """How much is used, when it begins anew, who said so and when, and what keeps runs from it."""
    desktop = desktop_with(tmp_path, window(0.62))
    text = desktop.ok("limits")
    for words in ("claude direct works", "five-hour", "62%", "start below 80 %, end at 95 %", "stream", "ago"):
        assert words in " ".join(text.split()) or words in text, words
    (account,) = desktop.json("limits")["accounts"]
    (found,) = account["windows"]
    assert (found["used"], found["start_below"], found["stop_above"]) == (0.62, 80, 95)
    assert account["state"] == "closed"


def test_a_window_that_began_anew_is_unknown(tmp_path: Path) -> None:
    """Neither what was used before nor zero."""
    desktop = desktop_with(tmp_path, window(0.9, resets=time.time() - 5))
    (account,) = desktop.json("limits")["accounts"]
    assert account["windows"][0]["used"] is None
    assert "unknown" in desktop.ok("limits")


def test_lift_and_restore(tmp_path: Path) -> None:
    """A lift lasts as long as it is told to, is shown, and is taken back once."""
    desktop = desktop_with(tmp_path, window(0.9))
    assert "The ceilings are lifted for 2h" in desktop.ok("limits", "lift", "--for", "2h")
    found = desktop.json("limits")
    assert 7100 < found["lifted"] - found["at"] <= 7200
    assert "The ceilings are lifted until" in desktop.ok("limits")
    assert desktop.ok("limits", "restore") == "The ceilings hold again.\n"
    assert desktop.ok("limits", "restore") == "They were not lifted.\n"
    assert desktop.json("limits")["lifted"] is None
    result = desktop.run("limits", "lift", "--for", "soon")
    assert result.exit_code == 2
    assert "--for" in result.output


def test_forget(tmp_path: Path) -> None:
    """An account that does not work is shown with the reason; forgotten, nothing is known of it; others are refused."""
    since = time.time() - 10
    breaker = Breaker(cause=FailureClass.AUTH, why="the login was refused", since=since, times=1)
    desktop = desktop_with(tmp_path, window(0.5), breaker=breaker)
    text = " ".join(desktop.ok("limits").split())
    assert "does not work since" in text
    assert "the login was refused" in text
    result = desktop.run("limits", "forget", "nobody")
    assert result.exit_code == 2
    assert "claude direct" in result.output
    assert "Forgotten: claude direct." in desktop.ok("limits", "forget", "claude", "direct")
    assert desktop.json("limits")["accounts"] == []


@pytest.mark.parametrize("status", ["rejected", "allowed_warning"])
def test_what_is_used_up_is_said(tmp_path: Path, status: str) -> None:
    """In words, beside the figure."""
    desktop = desktop_with(tmp_path, window(1.0, status=status))
    words = {"rejected": "100%, used up", "allowed_warning": "100%, nearly used up"}
    assert words[status] in " ".join(desktop.ok("limits").split())
