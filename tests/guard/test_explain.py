"""An explanation shows the parse, the effects, the rule and the verdict."""

from __future__ import annotations

from overnight.guard.explain import explain
from overnight.guard.ledger import Ledger
from overnight.guard.policy import GuardPolicy
from overnight.guard.verdict import Call
from overnight.guard.world import NoWorld

from .helpers import BOUNDS, WORKTREE


def test_an_explanation_says_what_it_saw() -> None:
    """A variable that hides the program is shown worked out."""
    call = Call(id="1", tool="Bash", input={"command": "X=rm; $X -rf ~"}, cwd=WORKTREE)
    text = explain(call, GuardPolicy(), BOUNDS, NoWorld(), Ledger()).text()
    assert "Assign name='X'" in text
    assert "delete path='/home/user' recursive='True'" in text
    assert text.endswith(
        "verdict\n  deny path.root: /home/user holds the run's own folders\n  because of: rm -rf /home/user"
    )


def test_what_can_not_be_parsed_is_explained_too() -> None:
    """The reason stands where the tree would."""
    call = Call(id="1", tool="Bash", input={"command": "echo 'x"}, cwd=WORKTREE)
    found = explain(call, GuardPolicy(), BOUNDS, NoWorld(), Ledger())
    assert found.tree == ("not parsed: a single quote is not closed",)
    assert found.assessment.verdict.rule == "unverifiable"
