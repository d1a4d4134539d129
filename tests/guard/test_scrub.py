"""Values are cleaned in all their texts; what things are found by, and what decisions are made over, stays usable."""

from __future__ import annotations

import pytest

from overnight.guard.redact import MARK, redacted
from overnight.guard.scrub import clean_path, scrubbed
from overnight.missions.run import CheckResult, End, FailureClass, Result, RunOutcome

SECRET = "ghp_" + "a1B2c3D4e5F6" * 3


def test_an_outcome_is_cleaned_through_and_through() -> None:
    """Its reason, its last words, the refused calls; not its class, its numbers and its names."""
    outcome = RunOutcome(
        run="t1.1.1", end=End.FAILED, why=f"said {SECRET}", failure=FailureClass.AGENT, said=f"\x1b[31m{SECRET}",
        denied=(("Bash", f"echo {SECRET}", "no"),), turns=3, session="s",
    )  # fmt: skip
    assert scrubbed(outcome, redacted) == RunOutcome(
        run="t1.1.1", end=End.FAILED, why=f"said {MARK}", failure=FailureClass.AGENT, said=MARK,
        denied=(("Bash", f"echo {MARK}", "no"),), turns=3, session="s",
    )  # fmt: skip


def test_checks_are_cleaned() -> None:
    """What they printed; the commit and the file with the raw output are as they were."""
    commit = "3f786850e387550fdab836ed7e6dc881de23001b"
    check = CheckResult(
        name="test",
        command="cat x",
        commit=commit,
        passed=False,
        code=1,
        seconds=1.0,
        output=f"a\n{SECRET}\n",
        log="/l",
    )
    (clean,) = scrubbed((check,), redacted)
    assert (clean.output, clean.commit, clean.log, clean.command) == (f"a\n{MARK}\n", commit, "/l", "cat x")


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("src/a.py", "src/a.py"),
        (f"infra/{SECRET}/x.sql", f"infra/{MARK}/x.sql"),
        (f"infra/{SECRET}.sql", f"infra/{MARK}.sql"),
        ("token=a1b2c3d4e5f6/migrations/x.sql", f"token={MARK}/migrations/x.sql"),
        ("\x1b]/migrations/\x07x.sql", "\\x1b]/migrations/\\x07x.sql"),
        ("over\u202enight.toml", "over\\u202enight.toml"),
    ],
)
def test_a_cleaned_path_keeps_its_folders_and_its_ending(path: str, clean: str) -> None:
    """So that no rule about paths is evaded by a name that is taken out."""
    assert clean_path(path, redacted) == clean
    assert scrubbed(Result(commit="c", ref="r", changed=(path,)), redacted).changed == (clean,)
