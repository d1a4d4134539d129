"""The documentation says what the code does: every field, default, hold and state, and no dead link."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import NODEFAULT, Struct, inspect

from overnight import errors
from overnight.cli.app import EXIT_CODES
from overnight.config import Settings, parse_settings, read_policy
from overnight.guard.policy import ATTENDED, GuardPolicy, value_of
from overnight.missions.guarding import GuardTable, knobs
from overnight.missions.hold import HoldReason
from overnight.missions.policy import Check, Policy
from overnight.missions.run import FailureClass
from overnight.missions.task import Phase

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def page(name: str) -> str:
    """A page of docs/."""
    return (ROOT / "docs" / name).read_text()


def rows(text: str, header: str) -> list[list[str]]:
    """The rows of every table with this header line, as cells."""
    found: list[list[str]] = []
    lines = iter(text.splitlines())
    for line in lines:
        if line == header:
            next(lines)
            for row in lines:
                if not row.startswith("|"):
                    break
                found.append([cell.strip() for cell in row.strip("|").split(" | ")])
    return found


def fields(kind: type[Struct], prefix: str = "") -> Iterator[str]:
    """Dotted names of everything that a file of this kind may hold."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        name = prefix + field.encode_name
        if isinstance(field.type, inspect.StructType) and issubclass(field.type.cls, GuardTable):
            continue  # docs/guard-policy.md has these
        if isinstance(field.type, inspect.StructType):
            yield from fields(field.type.cls, name + ".")
        elif field.type == inspect.type_info(dict[str, Check]):
            yield from fields(Check, name + ".NAME.")
        else:
            yield name


POLICY_TEXT, SETTINGS_TEXT = page("configuration.md").split("\n# A machine")
FIELD_TABLE = "| key | default | meaning |"


@pytest.mark.parametrize(("kind", "text"), [(Policy, POLICY_TEXT), (Settings, SETTINGS_TEXT)])
def test_every_field_is_documented(kind: type[Struct], text: str) -> None:
    """docs/configuration.md has a row for each field, and none for what is not there."""
    documented = [row[0].strip("`") for row in rows(text, FIELD_TABLE)]
    assert sorted(documented) == sorted(fields(kind)), "bring the tables of docs/configuration.md in line"
    assert all(row[2] for row in rows(text, FIELD_TABLE))


def test_the_guards_policy_is_documented() -> None:
    """docs/guard-policy.md has every key, with the default of a run and of a person's own session."""
    table = {row[0].strip("`"): row[1:] for row in rows(page("guard-policy.md"), "| key | run | session | meaning |")}
    assert list(table) == list(knobs()), "bring the table of docs/guard-policy.md in line"
    for name, (run, session, _) in table.items():
        for policy, text in ((GuardPolicy(), run), (ATTENDED, session)):
            told = tomllib.loads(f"value = {text.strip('`')}")["value"]
            assert told == msgspec.json.decode(msgspec.json.encode(value_of(policy, name))), name


def written_defaults(text: str) -> str:
    """The defaults of the tables as a file; absent ones left out."""
    pairs = ((row[0].strip("`"), row[1]) for row in rows(text, FIELD_TABLE))
    return "\n".join(f"{key} = {value.strip('`')}" for key, value in pairs if value not in ("none", "required"))


def test_documented_defaults_are_the_defaults() -> None:
    """Writing every documented default into a file changes nothing."""
    policy = written_defaults(POLICY_TEXT) + '\nchecks.NAME.run = "true"\n'
    assert read_policy(policy.encode(), "docs") == Policy(checks={"NAME": Check(run="true")})
    assert parse_settings(written_defaults(SETTINGS_TEXT).encode(), "docs") == Settings()


def test_what_has_no_default_is_said_to_have_none() -> None:
    """`none` stands for an optional key, `required` for one that must be there."""
    said = {row[0].strip("`"): row[1] for row in rows(POLICY_TEXT + SETTINGS_TEXT, FIELD_TABLE)}
    assert {k for k, v in said.items() if v == "required"} == {"checks.NAME.run"}
    info = inspect.type_info(Check)
    assert isinstance(info, inspect.StructType)
    assert [f.name for f in info.fields if f.default is NODEFAULT and f.default_factory is NODEFAULT] == ["run"]
    absent = [name for name, value in said.items() if value == "none"]
    policy, settings = Policy(), Settings()
    for name in absent:
        owner = policy if name in fields(Policy) else settings
        for part in name.split("."):
            owner = getattr(owner, part)
        assert owner is None, name


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("| hold | why | released by |", list(HoldReason)),
        ("| state | meaning |", list(Phase)),
        ("| class | example | costs an attempt | then |", list(FailureClass)),
    ],
)
def test_tables_follow_the_enums(header: str, values: list[str]) -> None:
    """docs/concepts.md names every hold, state and class of failure, in the order of the code."""
    assert [row[0].strip("`") for row in rows(page("concepts.md"), header)] == [str(v) for v in values]


def test_what_costs_an_attempt_is_told_rightly() -> None:
    """The column follows the code."""
    table = rows(page("concepts.md"), "| class | example | costs an attempt | then |")
    assert [row[2] for row in table] == ["yes" if failure.costs_attempt else "no" for failure in FailureClass]


def test_reserved_holds_are_marked() -> None:
    """A hold is called reserved exactly as long as nothing in the code can raise it."""
    source, views = ROOT / "src" / "overnight", ("report", "cli")
    files = (p for p in source.rglob("*.py") if p.name != "hold.py" and p.relative_to(source).parts[0] not in views)
    code = "".join(p.read_text() for p in files)
    reserved = {
        row[0].strip("`") for row in rows(page("concepts.md"), "| hold | why | released by |") if "reserved" in row[1]
    }
    assert reserved == {r.value for r in HoldReason if f"HoldReason.{r.name}" not in code}


def test_exit_codes_are_documented() -> None:
    """Every exit code that the command line knows has a row, and every error has one of them."""
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.OvernightError)]
    documented = {int(row[0]) for row in rows(page("concepts.md"), "| code | meaning |")}
    assert documented == EXIT_CODES.keys()
    assert {kind.exit_code for kind in kinds} <= documented


def anchors(text: str) -> list[str]:
    """The anchors of a page's headings, numbered where they repeat, as on the usual forges."""
    seen: dict[str, int] = {}
    found: list[str] = []
    for heading in re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", text)):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        found.append(f"{anchor}-{count}" if count else anchor)
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link of a page names a file, and a heading in it, that is there."""
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        other = (path.parent / name).resolve() if name else path
        assert other.exists(), target
        if anchor:
            assert anchor in anchors(other.read_text()), target


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda p: p.stem)
def test_decisions_have_one_form(path: Path) -> None:
    """A record has a number, a status and three parts."""
    text = path.read_text()
    assert text.startswith(f"# {path.name[:3]}. ")
    assert re.findall(r"(?m)^## (.+)$", text) == ["Status", "Context", "Decision", "Consequences"]
