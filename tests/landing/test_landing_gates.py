"""The gates by themselves: links, bare repositories, and text for people."""

from __future__ import annotations

import posixpath
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.landing.gates import Change, bare_repositories, leaves, nested_repositories
from overnight.landing.text import head_and_tail, one_line, path_shown, path_text, plain

PARTS = st.lists(st.sampled_from(["..", ".", "", "a", "b", ".git"]), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("path", "target", "out"),
    [
        (b"link", b"a.txt", False),
        (b"d/link", b"../a.txt", False),
        (b"d/link", b"./x/y", False),
        (b"d/link", b"../../a.txt", True),
        (b"link", b"..", True),
        (b"link", b"/etc/passwd", True),
        (b"link", b"d/../a.txt", True),
        (b"link", b".git/config", True),
        (b"d/link", b"../.GIT/hooks", True),
        (b"link", b"", True),
        (b"link", b"caf\xe9\n", False),
    ],
)
def test_links_by_example(path: bytes, target: bytes, out: bool) -> None:
    """What leads out, and what only looks like it."""
    assert leaves(path, target) is out


@given(depth=st.integers(0, 3), parts=PARTS)
def test_a_link_that_passes_stays_inside(depth: int, parts: list[str]) -> None:
    """Resolved from the folder it lies in, it never leaves the tree and never enters a git dir."""
    path = "/".join(["d"] * depth + ["link"])
    target = "/".join(parts)
    if not leaves(path.encode(), target.encode()):
        resolved = posixpath.normpath(posixpath.join("/root", posixpath.dirname(path), target))
        assert resolved == "/root" or resolved.startswith("/root/")
        assert ".git" not in resolved.split("/")


def added(*paths: str) -> list[Change]:
    """Plain files that appear."""
    return [Change(path.encode(), b"000000", b"100644", "0" * 40, "A") for path in paths]


def test_a_bare_repository_in_the_tree_is_seen() -> None:
    """Files that make git take a folder for a git dir; a file named HEAD alone does not."""
    assert bare_repositories(added("x/y/HEAD", "x/y/objects/.keep", "x/y/refs/.keep", "x/y/config")) == [b"x/y"]
    assert bare_repositories(added("HEAD", "docs/HEAD", "docs/refs/a.md")) == []


def test_nested_repositories_are_found_by_folder_and_file(tmp_path: Path) -> None:
    """`.git` as folder, file or link; the tree's own does not count; links are not followed."""
    (tmp_path / "tree/a/.git").mkdir(parents=True)
    (tmp_path / "tree/a/deep/.git").mkdir(parents=True)
    (tmp_path / "tree/b").mkdir()
    (tmp_path / "tree/b/.git").write_text("gitdir: /elsewhere\n")
    (tmp_path / "tree/c").mkdir()
    (tmp_path / "tree/c/.git").symlink_to("/nonexistent")
    (tmp_path / "tree/.git").write_text("x")
    (tmp_path / "tree/link").symlink_to(tmp_path / "tree/a")
    (tmp_path / "tree/file").write_bytes(b"12345")
    nested, size = nested_repositories(tmp_path / "tree")
    assert nested == [b"a", b"b", b"c"]
    assert size == len("12345") + len("x")


@given(st.binary(max_size=60))
def test_a_shown_path_is_one_harmless_line(name: bytes) -> None:
    """Whatever bytes a path has, its line is printable and stays one line."""
    assert path_shown(name).isprintable()


@given(st.text(max_size=60))
def test_one_line_is_one_line(text: str) -> None:
    """No control character survives, and a title never grows over its bound."""
    line = one_line(text, most=20)
    assert len(line) <= 20
    assert line == " ".join(line.split())
    assert "\x1b" not in line


def test_bytes_that_are_no_text_are_escaped() -> None:
    """UTF-8 stays readable, the rest is `\\xNN`."""
    assert path_text("größe".encode() + b"\xff") == "größe\\xff"


def test_output_without_a_gap_is_whole() -> None:
    """Nothing is said to be left out when nothing is."""
    assert head_and_tail(b"all\n", b"", 0) == "all\n"
    assert plain("a\x1b[2Kb\tc\n") == "ab\tc\n"
