"""The tables of what is known of programs: their rows are well formed, and say what they mean."""

from __future__ import annotations

import pytest

from overnight.guard.knowledge import ROWS, fits
from overnight.guard.text import Text

from .helpers import bash, stopped


def words(text: str) -> list[Text]:
    """Arguments."""
    return [Text(word) for word in text.split()]


def test_no_row_takes_everything_by_accident() -> None:
    """A `*` that stands alone would make any argument fit."""
    loose = [
        (name, row.words) for name, rows in ROWS.items() for row in rows if any("*" in place for place in row.words)
    ]
    assert not loose


def test_words_must_come_in_their_order() -> None:
    """`gh auth status --show-token` fits, its words in another order don't."""
    row = next(row for row in ROWS["gh"] if row.words[1:2] == (("status",),))
    assert fits(row, words("auth status --hostname x -t"))
    assert not fits(row, words("-t status auth"))


@pytest.mark.parametrize(
    "command",
    ["gcloud auth list", "aws iam list-users", "kubectl get pods -o wide", "gh run list", "docker volume ls", "npm config get registry",
     "gcloud compute instances list --filter delete", "restic key list", "etcdctl member list", "mc admin info m"],
)  # fmt: skip
def test_looking_is_no_change(command: str) -> None:
    """Tables of what changes things leave alone what only looks."""
    assert not stopped(command), bash(command).verdict


@pytest.mark.parametrize(
    "command",
    ["gh auth token", "sudo gh auth token", "op read op://a/b", "ngrok http 80", "history -c", "fly apps destroy x -y", "vault lease revoke -prefix aws",
     "npm config set registry http://a", "systemd-run --on-boot=1 /tmp/x", "loginctl enable-linger", "xargs fly apps destroy < list"],
)  # fmt: skip
def test_rows_stop_what_they_name(command: str) -> None:
    """Rows count under wrappers too."""
    assert stopped(command)
