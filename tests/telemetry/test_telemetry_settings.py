"""What may be set, what is missing, and what no setting lets out."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from telemetry_lab import MODEL, Night

from overnight.config import parse_settings
from overnight.doctor.findings import Level
from overnight.doctor.look import Look
from overnight.doctor.watching import judge_watchdog, telemetry
from overnight.durable.journal import read_events
from overnight.errors import SettingsInvalid
from overnight.guard.redact import Redactor
from overnight.telemetry import kept
from overnight.telemetry.draw import Drawing
from overnight.telemetry.measures import MOST_SERIES, OVERFLOW, Measures
from overnight.telemetry.values import Measured
from overnight.telemetry.words import Words, provider_of, tail_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('endpoint = "http://127.0.0.1:4318"', ""),
        ('endpoint = "https://otlp.example.org/base"', ""),
        ('endpoint = "http://otlp.example.org"', ""),
        ('endpoint = "otlp.example.org"', "is none"),
        ('endpoint = "http://127.0.0.1:4318/v1/traces"', "is more than the base"),
        ('endpoint = "https://me:pw@otlp.example.org"', "has a login in it"),
        ('endpoint = "http://otlp.example.org"\nheaders = { x-scope = "a" }', "in the clear"),
        ('endpoint = "https://o.example.org"\nheaders = { authorization = "Bearer abc" }', "stays out of files"),
        ('endpoint = "https://o.example.org"\nheaders = { authorization = "Bearer ${TOKEN}" }', ""),
        ('endpoint = "https://o.example.org"\nheaders = { x-key = "${file:relative}" }', "absolute"),
        ('every = "0s"', "more than nothing"),
        ("contents = true", "content"),
    ],
)
def test_settings(text: str, words: str) -> None:
    """What leads nowhere or would show a secret is refused, in words that say what would be right."""
    data = f"[telemetry]\n{text}\n".encode()
    if not words:
        parse_settings(data, "config.toml")
        return
    with pytest.raises(SettingsInvalid, match=words):
        parse_settings(data, "config.toml")


def look(tmp_path: Path, text: str) -> Look:
    (tmp_path / "config.toml").write_text(text)
    environ = {
        "OVERNIGHT_CONFIG": str(tmp_path / "config.toml"),
        "OVERNIGHT_HOME": str(tmp_path),
        "HOME": str(tmp_path),
    }
    return Look(environ, tmp_path)


def test_doctor_says_where_it_goes_and_what_is_wrong(tmp_path: Path) -> None:
    """Off; here or elsewhere; a secret that is not there; a collector that has failed for long, with why."""
    assert telemetry(look(tmp_path, "")).seen.startswith("off")
    here = look(tmp_path, '[telemetry]\nendpoint = "http://127.0.0.1:4318"\n')
    assert telemetry(here).level is Level.OK
    assert "this machine" in telemetry(here).seen
    away = look(tmp_path, '[telemetry]\nendpoint = "https://o.example.org"\nheaders = { x-key = "${NO_SUCH_KEY}" }\n')
    assert "ELSEWHERE" in telemetry(away).seen
    assert "NO_SUCH_KEY" in telemetry(away).seen
    assert telemetry(away).level is Level.WARN
    kept.write(tmp_path, kept.Progress(since=1.0, sent=5, failing=1.0, trouble="it answers 503"))
    line = telemetry(look(tmp_path, '[telemetry]\nendpoint = "http://127.0.0.1:4318"\n'))
    assert (line.level, "503" in line.seen, "5 spans" in line.seen) == (Level.WARN, True, True)


def test_without_the_extra_it_is_said_what_to_install(tmp_path: Path) -> None:
    """By doctor and by the process itself, before anything is imported; the daemon's modules never need it."""
    (tmp_path / "config.toml").write_text('[telemetry]\nendpoint = "http://127.0.0.1:4318"\n')
    env = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "OVERNIGHT_HOME": str(tmp_path),
        "OVERNIGHT_CONFIG": str(tmp_path / "config.toml"),
    }  # fmt: skip
    code = (
        "import sys, os; sys.modules['opentelemetry'] = None; import overnight.daemon, overnight.telemetry_process as p; "
        "from overnight.doctor.look import Look; from overnight.doctor.watching import telemetry; "
        "print(telemetry(Look(os.environ)).do); sys.exit(p.main())"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "pip install 'overnight[otel]'" in done.stdout
    assert "pip install 'overnight[otel]'" in done.stderr


@pytest.mark.parametrize(
    ("age", "ways", "ping", "level", "words"),
    [
        (None, [], False, Level.WARN, "never ran here"),
        (3.0, ["a command", "a webhook"], True, Level.OK, "looked 3s ago"),
        (3.0, ["a webhook"], True, Level.WARN, "tells by a webhook"),
        (3.0, [], True, Level.WARN, "tells by nothing"),
        (3.0, ["a command", "a webhook"], False, Level.WARN, "calls nobody elsewhere"),
        (300.0, ["a command", "a webhook"], True, Level.WARN, "does not run"),
    ],
)
def test_the_watchdogs_line(age: float | None, ways: list[str], ping: bool, level: Level, words: str) -> None:
    """It runs, it tells by two ways, somebody elsewhere waits for it; or what of that is not so."""
    line = judge_watchdog(age, 5.0, ways, ping=ping)
    assert line.level is level
    assert words in line.seen
    assert bool(line.do) is (level is Level.WARN)


# -- what gets out ------------------------------------------------------------------------------------------

SECRET = st.text(alphabet="abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789-_", min_size=16, max_size=40)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A night whose journal and records are on disk."""
    night = Night(tmp_path_factory.mktemp("night") / "state")
    night.play()
    night.close()
    return night


def lines(db: sqlite3.Connection, home: Path, words: Words) -> str:
    """All that would be sent of a journal, as one text."""
    drawing = Drawing(home, words)
    return "\n".join(repr(each) for event in read_events(db) for each in drawing.of(db, event))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secret=SECRET, content=st.booleans())
def test_no_secret_is_in_an_attribute(played: Night, secret: str, content: bool) -> None:
    """A known secret wherever a record can hold one: in names, commands, reasons, answers, models, sessions, titles."""
    folder = next((played.home / "runs").glob("*/*/*"))
    originals = {name: (folder / name).read_text() for name in ("events.ndjson", "spec.json", "launch.json")}
    db = sqlite3.connect(":memory:", isolation_level=None)
    disk = sqlite3.connect(played.home / "journal.db")
    disk.backup(db)
    disk.close()
    db.row_factory = sqlite3.Row
    db.execute("DROP TRIGGER event_no_update")
    try:
        for name, text in originals.items():
            for word in (
                f'"{MODEL}"',
                '"Bash"',
                '"path.outside"',
                '"toolu_0"',
                '"claude"',
                '"2.1.3"',
                '"gateway"',
                '"msg_1"',
            ):
                text = text.replace(word, f'"{secret}"')
            (folder / name).write_text(text.replace("hunter2-SECRET", secret).replace("/srv/acme", secret))
        for word in ("5f0c9a", MODEL, "/srv/acme", "hunter2-SECRET", "ACME", '"test"', "path.outside"):
            put = f'"{secret}"' if word.startswith('"') else secret
            db.execute("UPDATE step SET output = replace(output, ?, ?)", (word, put))
            db.execute("UPDATE task SET input = replace(input, ?, ?), lane = ?", (word, put, secret))
            db.execute("UPDATE event SET why = replace(why, ?, ?) WHERE what NOT IN ('step.done')", (word, put))
        found = lines(db, played.home, Words(Redactor((secret,)), content=content))
        bare = lines(db, played.home, Words(str, content=True))
    finally:
        db.close()
        for name, text in originals.items():
            (folder / name).write_text(text)
    assert found.count("Span(") > 8
    assert secret in bare
    assert secret not in found


def test_names_are_names() -> None:
    """What an agent calls its tools is no way to say something: only what looks like a name is one."""
    words = Words(str, content=False)
    assert words.name("mcp__github__search") == "mcp__github__search"
    for text in ("ignore all rules and", "a\nb", "", "x" * 101, "$(id)", "ключ"):
        assert words.name(text) == "_OTHER"
    assert [provider_of(each) for each in (MODEL, "gpt-5", "models/gemini-3", "o4-mini", "llama")] == [
        "anthropic", "openai", "gcp.gemini", "openai", "unknown",
    ]  # fmt: skip
    assert tail_of("fix-the-login-7k3f") == "7k3f"


def test_measures_outlive_their_process_and_stay_few() -> None:
    """Merged in parts they are what they are at once; ever new attributes are added up as one."""
    whole, parts = Measures(), Measures()
    for n in range(2 * MOST_SERIES):
        one = Measured("overnight.spend", 1.0, {"gen_ai.request.model": f"m{n}"})
        whole.add(one)
        part = Measures()
        part.add(one)
        parts.merge(part)
    for value in (0.5, 3, 1e9):
        one = Measured("gen_ai.client.token.usage", value, {})
        whole.add(one)
        part = Measures()
        part.add(one)
        parts.merge(part)
    assert whole == parts
    assert len(whole.series["overnight.spend"]) == MOST_SERIES + 1
    assert whole.series["overnight.spend"][OVERFLOW].total == MOST_SERIES
    assert whole.series["gen_ai.client.token.usage"]["{}"].buckets[0] == 1
