"""`overnight usage`: what it shows, what it refuses, and whose days it counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_stage import Desktop

from overnight.cli.usage_tables import draw
from overnight.missions.codec import convert
from overnight.report.usage import BY, UsageView


def row(name: str, at: str, model: str = "claude-opus-5-5", session: str = "s1", **more: Any) -> dict[str, Any]:
    """A transcript's row of 1000 tokens in, 200 and 300 by the cache, 50 out: 0.00606 dollars on Opus."""
    usage = {
        "input_tokens": 1000, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 300, "output_tokens": 50,
    }  # fmt: skip
    message = {"id": name, "model": model, "usage": usage}
    return {
        "type": "assistant",
        "timestamp": at,
        "sessionId": session,
        "cwd": f"/work/{session}",
        "message": message,
    } | more


class Logs(Desktop):
    """A person with transcripts of Claude Code."""

    def write(self, *rows: dict[str, Any], under: str = ".claude") -> None:
        """Add rows to a session's log."""
        for each in rows:
            path = self.folder / under / "projects" / "-work" / f"{each['sessionId']}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(json.dumps(each, separators=(",", ":")) + "\n")

    def rows(self, *words: str) -> dict[str, tuple[int, str]]:
        """Name -> (answers, cost) of each row."""
        return {each["name"]: (each["answers"], each["cost"]) for each in self.json("usage", *words)["rows"]}


def test_nothing_there(tmp_path: Path) -> None:
    """Without a log the command says where it looks, and ends well."""
    desktop = Logs(tmp_path)
    assert "No agent's logs were found" in desktop.ok("usage")
    assert desktop.json("usage")["rows"] == []


def test_days_are_the_persons(tmp_path: Path) -> None:
    """An answer belongs to the day that it was at the named place, on both sides of a change of the clock."""
    desktop = Logs(tmp_path)
    desktop.write(
        row("m1", "2026-03-28T22:59:59Z"), row("m2", "2026-03-28T23:00:00Z"),
        row("m3", "2026-03-29T21:59:59Z"), row("m4", "2026-03-29T22:00:00Z"),
    )  # fmt: skip
    days = desktop.rows("--timezone", "Europe/Berlin")
    assert {day: found[0] for day, found in days.items()} == {"2026-03-28": 1, "2026-03-29": 2, "2026-03-30": 1}
    assert desktop.rows("--timezone", "UTC").keys() == {"2026-03-28", "2026-03-29"}
    (tmp_path / "config.toml").write_text('[usage]\ntimezone = "Europe/Berlin"\n')
    assert desktop.rows() == days
    assert desktop.rows("--since", "2026-03-29", "--until", "2026-03-29") == {"2026-03-29": (2, "0.01212")}
    assert desktop.rows("weekly").keys() == {"2026-W13", "2026-W14"}
    assert desktop.rows("monthly") == {"2026-03": (4, "0.02424")}


def test_blocks(tmp_path: Path) -> None:
    """Five hours from the full hour of the first answer, then from that of the next one."""
    desktop = Logs(tmp_path)
    times = ("02:40", "07:10", "07:59", "13:20")
    desktop.write(*(row(f"m{n}", f"2026-11-01T{at}:00Z") for n, at in enumerate(times)))
    found = desktop.rows("block", "--timezone", "UTC")
    assert {name[:16]: value[0] for name, value in found.items()} == {
        "2026-11-01 02:00": 1, "2026-11-01 07:00": 2, "2026-11-01 13:00": 1,
    }  # fmt: skip


def test_projects_and_folders(tmp_path: Path) -> None:
    """A project is a folder or a name; other folders of logs are named by option, by settings or by the CLI's variable."""
    desktop = Logs(tmp_path)
    desktop.write(row("m1", "2026-11-01T00:00:00Z"), row("m2", "2026-11-01T00:00:00Z", session="s2"))
    desktop.write(row("m3", "2026-11-01T00:00:00Z", session="s3"), under="other")
    assert desktop.rows("session").keys() == {"s1", "s2"}
    assert desktop.rows("session", "--project", "s2").keys() == {"s2"}
    assert desktop.rows("session", "--project", "/work").keys() == {"s1", "s2"}
    assert "Known are /work/s1, /work/s2" in desktop.run("usage", "--project", "s9").output
    assert desktop.rows("session", "--from", f"claude={tmp_path}/other").keys() == {"s1", "s2", "s3"}
    (tmp_path / "fresh").mkdir()
    fresh = Logs(tmp_path / "fresh")
    fresh.env["CLAUDE_CONFIG_DIR"] = f"{tmp_path}/.claude, {tmp_path}/other"
    assert fresh.rows("session").keys() == {"s1", "s2", "s3"}


def test_unpriced_is_shown(tmp_path: Path) -> None:
    """A model without a price is called so in the table, and its tokens count."""
    desktop = Logs(tmp_path)
    desktop.write(row("m1", "2026-11-01T00:00:00Z"), row("m2", "2026-11-01T00:00:00Z", "nobodys-model"))
    said = desktop.ok("usage")
    assert "0.01 + unpriced" in said
    assert "1 answer without a known price (nobodys-model)" in said
    models = {each["name"]: each for each in desktop.json("usage", "model")["rows"]}
    assert models["nobodys-model"]["unpriced"] == 1
    assert models["nobodys-model"]["tokens"] == models["claude-opus-5-5"]["tokens"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("hourly",), "hourly"),
        (("--since", "yesterday"), "is not a day"),
        (("--since", "2026-11-02", "--until", "2026-11-01"), "Swap them"),
        (("--timezone", "Middle/Earth"), "No time zone"),
        (("--from", "claude"), "AGENT=FOLDER"),
        (("--from", "eliza=/x"), "Agents are"),
        (("--project", "x"), "No log speaks of"),
    ],
)
def test_bad_words(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    """What can't be meant is refused with what would be right."""
    result = Logs(tmp_path).run("usage", *words)
    assert result.exit_code == 2
    assert said in result.output


def test_a_limit_that_was_hit(tmp_path: Path) -> None:
    """When a session ran into a limit, its end is known to the second; once that has passed nothing is."""
    desktop = Logs(tmp_path)
    quota = {"status": "rejected", "resetsAt": 4102444800, "rateLimitType": "five_hour"}
    hit = row("m2", "2026-11-01T00:00:00Z", "<synthetic>", quotaLimits=quota, isApiErrorMessage=True)
    hit["message"]["usage"] = {"input_tokens": 0, "output_tokens": 0}
    desktop.write(row("m1", "2026-11-01T00:00:00Z"), hit)
    found = desktop.json("usage")
    (window,) = found["windows"]
    assert (window["name"], window["resets"], window["status"]) == ("five-hour", 4102444800.0, "rejected")
    assert found["total"]["answers"] == 1
    assert "used up" in desktop.ok("usage")
    quota |= {"resetsAt": 1793491200}
    desktop.write(hit | {"timestamp": "2026-11-01T01:00:00Z", "quotaLimits": quota})
    assert desktop.json("usage")["windows"][0]["status"] == ""
    quota |= {"resetsAt": 4102444801}
    desktop.write(hit | {"timestamp": "2026-11-01T02:00:00Z", "quotaLimits": quota, "requestId": 7, "forkedFrom": []})
    assert desktop.json("usage")["windows"][0]["resets"] == 4102444801.0, "a field of another type beside it hid it"


@pytest.mark.parametrize("columns", [40, 71, 72, 109, 110, 200])
@pytest.mark.parametrize("by", BY)
def test_it_fits(columns: int, by: str, tmp_path: Path) -> None:
    """The table is no wider than the terminal."""
    desktop = Logs(tmp_path)
    many = [
        row(f"m{n}", f"2026-11-{n % 28 + 1:02d}T00:00:00Z", session=f"00000000-0000-4000-8000-{n:012d}")
        for n in range(60)
    ]
    desktop.write(*many)
    found = convert(desktop.json("usage", by), UsageView)
    table = draw(found, None, columns).text().split("\n\n")[0]
    assert max(map(len, table.splitlines())) <= columns
