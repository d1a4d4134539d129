"""Nights: where they begin and end, which are due, and how their briefs are kept."""

from __future__ import annotations

from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.config import parse_settings
from overnight.errors import SettingsInvalid
from overnight.report.brief import Brief, NightVerdict, Tally, Word
from overnight.report.nights import MOST_LATE, clock_time, due, keep, kept, latest, night, nights

BERLIN = ZoneInfo("Europe/Berlin")
SEVEN = time(7)


def at(text: str) -> float:
    """A moment in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def a_brief(name: str, **more: object) -> Brief:
    """A brief of a quiet night."""
    found = night(date.fromisoformat(name), SEVEN, BERLIN)
    verdict = NightVerdict(word=Word.QUIET, sentence="There was nothing to do.", tally=Tally())
    return Brief(night=name, since=found.since, until=found.until, made=found.until, verdict=verdict)


def test_a_night_is_named_for_its_morning() -> None:
    """It ends at seven of its day and begins at seven of the day before."""
    found = night(date(2026, 11, 21), SEVEN, BERLIN)
    assert (found.name, found.since, found.until) == ("2026-11-21", at("2026-11-20T07:00"), at("2026-11-21T07:00"))
    assert latest(at("2026-11-21T06:59"), SEVEN, BERLIN).name == "2026-11-20"
    assert latest(at("2026-11-21T07:00"), SEVEN, BERLIN).name == "2026-11-21"


@pytest.mark.parametrize(("name", "hours"), [("2026-10-25", 25), ("2027-03-28", 23), ("2026-11-21", 24)])
def test_clocks_that_change_make_a_night_longer_or_shorter(name: str, hours: int) -> None:
    """Nothing is lost or counted twice where an hour comes twice or not at all."""
    found = night(date.fromisoformat(name), SEVEN, BERLIN)
    assert found.until - found.since == hours * 3600


@given(
    st.dates(date(2020, 1, 1), date(2035, 1, 1)),
    st.times(),
    st.sampled_from(["Europe/Berlin", "UTC", "Asia/Kolkata", "America/New_York"]),
)
def test_nights_follow_one_another(day: date, hour: time, zone: str) -> None:
    """Every moment belongs to exactly one night, in every time zone."""
    hour = hour.replace(second=0, microsecond=0, tzinfo=None)
    first = night(day, hour, ZoneInfo(zone))
    second = night(date.fromordinal(day.toordinal() + 1), hour, ZoneInfo(zone))
    assert first.since < first.until == second.since < second.until
    assert latest(first.until, hour, ZoneInfo(zone)) == first
    assert latest(second.until - 1, hour, ZoneInfo(zone)) == first


def test_what_is_due_is_what_was_missed() -> None:
    """Each night once; none before the first thing happened; after a long absence only the latest ones."""
    now = at("2026-11-21T09:30")

    def names(first: float | None, *made: str) -> list[str]:
        return [each.name for each in due(first, frozenset(made), now, SEVEN, BERLIN)]

    assert names(None) == []
    assert names(now - 60) == []
    assert names(at("2026-11-19T12:00")) == ["2026-11-20", "2026-11-21"]
    assert names(at("2026-11-01T12:00"), "2026-11-19") == ["2026-11-20", "2026-11-21"]
    assert names(at("2026-11-01T12:00"), "2026-11-21") == []
    assert len(names(at("2020-01-01T00:00"))) == MOST_LATE


def test_briefs_are_kept_and_listed(tmp_path: Path) -> None:
    """What was kept is read back as it was, the latest first; a broken or foreign file is none."""
    for name in ("2026-11-19", "2026-11-20"):
        keep(tmp_path, a_brief(name), "# words\n")
    assert kept(tmp_path, "2026-11-20") == a_brief("2026-11-20")
    assert [each.night for each in nights(tmp_path)] == ["2026-11-20", "2026-11-19"]
    assert (tmp_path / "reports" / "2026-11-20.md").read_text() == "# words\n"
    (tmp_path / "reports" / "2026-11-20.json").write_text('{"format": 1')
    (tmp_path / "reports" / "2026-11-21.json").write_text('{"format": 99}')
    assert [each.night for each in nights(tmp_path)] == ["2026-11-19"]
    assert kept(tmp_path, "../../etc/passwd") is None


def test_a_file_that_can_not_be_kept_leaves_nothing_behind(tmp_path: Path) -> None:
    """The folder's place is taken: it is said, and no half of a file is there."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "2026-11-20.json").mkdir()
    with pytest.raises(OSError, match="2026-11-20"):
        keep(tmp_path, a_brief("2026-11-20"), "x")
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["2026-11-20.json"]


@pytest.mark.parametrize("wrong", ["7", "7:00", "24:00", "07:60", "07:00:00", "٠٧:00", ""])
def test_a_time_of_day_is_one(wrong: str) -> None:
    """Anything but hours and minutes is refused, in the settings with its place."""
    with pytest.raises(ValueError, match="time of day"):
        clock_time(wrong)
    with pytest.raises(SettingsInvalid, match=r"report\.at"):
        parse_settings(f'[report]\nat = "{wrong}"\n'.encode(), "config.toml")
