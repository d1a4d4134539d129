"""What tampering is called, and which of it is never landed without a person."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Trick(StrEnum):
    """Ways to make a check pass without doing the work."""

    TEST_DELETED = "test-deleted"
    TEST_SKIPPED = "test-skipped"
    TEST_ALONE = "test-alone"
    TEST_EMPTIED = "test-emptied"
    FEWER_ASSERTIONS = "fewer-assertions"
    LOOSER_ASSERTION = "looser-assertion"
    BROADER_EXCEPTION = "broader-exception"
    RAISED_TOLERANCE = "raised-tolerance"
    VACUOUS_TEST = "vacuous-test"
    EXPECTATION_CHANGED = "expectation-changed"
    SNAPSHOT_REWRITTEN = "snapshot-rewritten"
    HARD_CODED = "hard-coded"
    KNOWS_THE_TEST = "knows-the-test"
    MOCKED_SUBJECT = "mocked-subject"
    #: A check passes with the source taken back and the changed tests kept.
    TOOTHLESS_TESTS = "toothless-tests"
    SHORT_CIRCUIT = "short-circuit"
    CHECKS_EXCLUDE = "checks-exclude"
    COMMAND_CHANGED = "command-changed"
    THRESHOLD_LOWERED = "threshold-lowered"
    SILENCED = "silenced"
    HIDDEN_CHANGE = "hidden-change"
    UNREADABLE = "unreadable"


#: Seldom what an honest change needs; a person decides. The others raise the risk.
BLOCKING = frozenset(
    {
        Trick.TEST_DELETED,
        Trick.TEST_SKIPPED,
        Trick.TEST_ALONE,
        Trick.TEST_EMPTIED,
        Trick.FEWER_ASSERTIONS,
        Trick.LOOSER_ASSERTION,
        Trick.BROADER_EXCEPTION,
        Trick.RAISED_TOLERANCE,
        Trick.HARD_CODED,
        Trick.KNOWS_THE_TEST,
        Trick.SHORT_CIRCUIT,
        Trick.CHECKS_EXCLUDE,
        Trick.THRESHOLD_LOWERED,
        Trick.HIDDEN_CHANGE,
        Trick.UNREADABLE,
    }
)


class Tampering(Struct, frozen=True, kw_only=True):
    """One place where the proof was bent, or may have been."""

    trick: Trick
    path: str
    #: In the result, from 1; in the base for what is gone.
    line: int
    why: str

    @property
    def blocks(self) -> bool:
        """Whether it is never landed without a person."""
        return self.trick in BLOCKING

    def __str__(self) -> str:
        return f"{self.trick} in {self.path}:{self.line}: {self.why}"
