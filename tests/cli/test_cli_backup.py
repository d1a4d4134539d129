"""`overnight backup` and `overnight restore`, as they are typed."""

from __future__ import annotations

from cli_stage import Desktop


def test_there_and_back(desktop: Desktop) -> None:
    """A queue survives the loss of the state folder; the settings are put where nothing reads them, and that is said."""
    desktop.shop()
    task = desktop.add("Fix it")
    (desktop.folder / "config.toml").write_text("[keep]\ndays = 30\n")
    said = desktop.ok("backup", "night.tar.gz")
    assert "all of it whole" in said
    assert "your keys" in said
    refused = desktop.run("restore", "night.tar.gz")
    assert refused.exit_code == 3
    assert "--into FOLDER" in refused.output
    desktop.home.rename(desktop.folder / "lost")
    said = desktop.ok("restore", "night.tar.gz")
    assert "settings/config.toml" in said
    assert task in desktop.ok("status")
    assert "OVERNIGHT_HOME=" in desktop.ok("restore", "night.tar.gz", "--into", desktop.folder / "copy")


def test_a_broken_backup(desktop: Desktop) -> None:
    """It has the exit code of broken records."""
    (desktop.folder / "bad").write_text("no backup")
    result = desktop.run("restore", "bad")
    assert result.exit_code == 5
    assert "Nothing was put in place" in result.output
    assert not desktop.home.exists()
