"""`[judges.NAME]`: what is refused and why, who made a model, and what `overnight doctor` says of it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from overnight.config import parse_settings
from overnight.doctor.findings import Level
from overnight.doctor.judges import judges
from overnight.doctor.look import Look
from overnight.durable.journal import Journal
from overnight.errors import SettingsInvalid
from overnight.judges.settings import JudgeSettings, Kind, family_of, maker_of
from overnight.missions.codec import encode
from overnight.missions.task import Repo
from testkit.repos import repository

OPENAI = '[judges.gpt]\nkind = "openai"\nmodel = "gpt-5"\n'
COMPATIBLE = '[judges.x]\nkind = "compatible"\nmodel = "m"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (OPENAI + "modle = 'x'", "unknown key `modle` in [judges.gpt]; did you mean `model`?"),
        (OPENAI + OPENAI, "Cannot declare"),
        ('[judges.gpt]\nkind = "openai"', "`judges.gpt` needs `model`"),
        ('[judges.gpt]\nkind = "oracle"\nmodel = "m"', '`judges.gpt.kind` must be one of "anthropic"'),
        ('[judges."A b"]\nkind = "openai"\nmodel = "gpt-5"', '"A b" is no name of a judge'),
        ('[judges.c]\nkind = "claude"\naddress = "https://a.example.org"', "`[agents.claude]` says who is asked"),
        ('[judges.c]\nkind = "claude"\nkey_variable = "MY_KEY"', "`[agents.claude]` says who is asked"),
        (OPENAI + 'family = "google"', '"gpt-5" is of the family "openai", whoever serves it'),
        (OPENAI + 'key_variable = "sk-12 34"', "the key itself stays out of files"),
        (OPENAI + 'address = "http://api.example.org/v1"', "must begin with https://"),
        (OPENAI + 'address = "ftp://api.example.org"', "must be a URL"),
        (OPENAI + 'address = "https://me:secret@api.example.org"', "without a login"),
        (OPENAI + "limit = 5", "a duration in quotes"),
        (OPENAI + 'allowance = "0 USD"', "more than nothing"),
        (COMPATIBLE, "`judges.x` needs `family`"),
        (COMPATIBLE, "`judges.x` needs `key_variable`"),
        (COMPATIBLE, "`judges.x` needs `address`"),
        ("".join(OPENAI.replace("gpt]", f"g{n}]") for n in range(9)), "there are 9 judges; a machine may have 8"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(text: str, says: str) -> None:
    """Unknown keys, second judges of a name, keys in files, plain addresses, borrowed families: each with what is right."""
    with pytest.raises(SettingsInvalid) as refused:
        parse_settings(text.encode(), "config.toml")
    assert says in str(refused.value)


def test_what_is_right_is_taken() -> None:
    """A server of one's own may be anywhere in the house as long as it gets no key."""
    local = '[judges.here]\nkind = "local"\nmodel = "qwen3"\nfamily = "Alibaba"\naddress = "http://gpu:8000/v1"'
    made = parse_settings((OPENAI + local).encode(), "c").judges
    assert {name: family_of(judge) for name, judge in made.items()} == {"gpt": "openai", "here": "alibaba"}


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("claude-sonnet-4-5", "anthropic"), ("anthropic/claude-opus-4", "anthropic"), ("eu.anthropic.claude-x", "anthropic"),
        ("gpt-5-mini", "openai"), ("openai/o3", "openai"), ("gemini-2.5-pro", "google"), ("google/gemini-3", "google"),
        ("gpt-oss:20b", ""), ("qwen3-coder:30b", ""), ("pro3-large", ""),
    ],
)  # fmt: skip
def test_a_models_maker_shows_in_its_name(model: str, family: str) -> None:
    """Whoever serves it; what no name says is left to the settings."""
    assert maker_of(model) == family
    assert family_of(JudgeSettings(kind=Kind.COMPATIBLE, model=model)) == family


def look(folder: Path, text: str, **environ: str) -> Look:
    """A person's machine with these settings."""
    (folder / "config.toml").write_text(text)
    home = {"OVERNIGHT_CONFIG": str(folder / "config.toml"), "OVERNIGHT_HOME": str(folder / "state")}
    return Look({"HOME": str(folder), **home, **environ})


def test_doctor_names_each_judge_and_what_it_lacks(tmp_path: Path) -> None:
    """A key that is not set is a warning, by its variable's name; one that is, is never shown."""
    text = OPENAI + '[judges.son]\nkind = "anthropic"\nmodel = "claude-sonnet-4-5"\n'
    line = judges(look(tmp_path, text, OPENAI_API_KEY="the-key-itself"))
    assert line.level is Level.WARN
    assert line.seen == (
        "gpt: gpt-5 of openai, ready; son: claude-sonnet-4-5 of anthropic, ANTHROPIC_API_KEY is not set"
    )


def test_doctor_names_what_a_cli_lacks(tmp_path: Path) -> None:
    """A login, the CLI itself, a family; one that has all of them is ready, whatever model it takes."""
    text = '[judges.cli]\nkind = "claude"\n[agents.claude]\n'
    assert "ANTHROPIC_API_KEY is not set" in judges(look(tmp_path, text)).seen
    nowhere = look(tmp_path, f'{text}path = "/nowhere/claude"', ANTHROPIC_API_KEY="k")
    assert "no absolute path of a program" in judges(nowhere).seen
    assert "nobody's family" in judges(look(tmp_path, f'{text}route = "local"')).seen
    ready = judges(look(tmp_path, text, CLAUDE_CODE_OAUTH_TOKEN="the-login-itself"))
    assert (ready.level, ready.seen) == (Level.OK, "cli: the CLI's own choice of anthropic, ready")


@pytest.mark.parametrize(
    ("policy", "level"),
    [
        ('landing = "merge"', Level.WARN),
        ('landing = "branch"', Level.OK),
        ('landing = "merge"\n[judges]\nfamilies = 1', Level.OK),
    ],
)
def test_doctor_holds_families_against_what_repos_ask_for(tmp_path: Path, policy: str, level: Level) -> None:
    """One family where a repo's target branch asks for two is a warning that names the repo."""
    repo = repository(tmp_path / "repo", {"overnight.toml": policy + '\n[checks]\ntest = "true"\n'})
    with contextlib.closing(Journal(tmp_path / "state")) as journal:
        journal.put("repo", "shop", encode(Repo(name="shop", path=str(repo), target="main")).decode())
    line = judges(look(tmp_path, OPENAI, OPENAI_API_KEY="k"))
    assert line.level is level, line.seen
    assert ("shop asks for 2 families of models" in line.seen) == (level is Level.WARN)


def test_no_judges_and_nothing_asked_for_is_well(tmp_path: Path) -> None:
    """A machine without repos needs none."""
    assert judges(look(tmp_path, "")).level is Level.OK
