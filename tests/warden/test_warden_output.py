"""Following what an agent prints: every line once, and nothing that it prints takes the warden's time or memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from overnight.warden.output import MOST_LINE, MOST_OUTPUT, Output


def test_what_is_not_there_says_nothing(tmp_path: Path) -> None:
    """No file yet: no change, no lines, nothing in all."""
    output = Output(tmp_path / "none")
    assert not output.changed()
    assert (list(output.lines()), output.rest(), output.whole(), output.size) == ([], b"", b"", 0)


@given(pieces=st.lists(st.binary(max_size=12).map(lambda data: data.replace(b"a", b"\n")), max_size=12))
def test_every_line_comes_once_however_it_is_written(
    pieces: list[bytes],
) -> None:
    """Lines cut anywhere are put together; carriage returns and NULs are a line's own; the rest comes last."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out"
        output, seen = Output(path), list[bytes]()
        for piece in pieces:
            with path.open("ab") as file:
                file.write(piece)
            seen += output.lines()
        whole = b"".join(pieces)
        assert b"\n".join([*seen, output.rest()]) == whole
        assert output.whole() == whole


def test_who_stops_taking_lines_gets_the_others_later(tmp_path: Path) -> None:
    """A look may end after any line."""
    path = tmp_path / "out"
    path.write_bytes(b"1\n2\n3\nres")
    output = Output(path)
    assert next(output.lines()) == b"1"
    assert next(output.lines()) == b"2"
    with path.open("ab") as file:
        file.write(b"t\n")
    assert list(output.lines()) == [b"3", b"rest"]


def test_a_line_without_end_is_passed_over(tmp_path: Path) -> None:
    """One that is too long is not kept in memory; the next one is seen."""
    path = tmp_path / "out"
    path.write_bytes(b"before\n" + b"x" * (MOST_LINE + (3 << 20)) + b"\nafter\n")
    assert list(Output(path).lines()) == [b"before", b"after"]


def test_an_output_that_was_cut_is_followed_on(tmp_path: Path) -> None:
    """Its writer may empty it: what comes then is new, and the change is noticed."""
    path = tmp_path / "out"
    path.write_bytes(b"one\ntwo\nhal")
    output = Output(path)
    assert output.changed()
    assert list(output.lines()) == [b"one", b"two"]
    path.write_bytes(b"")
    assert output.changed()
    assert not output.changed()
    with path.open("ab") as file:
        file.write(b"three\n")
    assert output.changed()
    assert list(output.lines()) == [b"three"]


def test_more_than_a_run_may_print_is_not_read(tmp_path: Path) -> None:
    """A file that claims to be huge is taken up to the bound only."""
    path = tmp_path / "out"
    with path.open("wb") as file:
        file.truncate(MOST_OUTPUT + (1 << 30))
    output = Output(path)
    output.changed()
    assert output.size > MOST_OUTPUT
    assert len(output.whole()) == MOST_OUTPUT
