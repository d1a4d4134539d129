"""Tickets: what counts, and everything that does not."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace
from people_lab import ANN, BOB, COMMIT, OTHER, Hand, Killed, Killer, Lab, redeemer

from overnight.durable.clock import SystemClock
from overnight.durable.journal import verify_journal
from overnight.errors import BadInput, BadState, NotDecided, UnknownTask
from overnight.judge.autonomy import Standing
from overnight.judge.risk import Band, Risk
from overnight.missions.approval import WORDS, Action, Reason, Redeemed, Refusal, Right
from overnight.missions.codec import builtins, encode
from overnight.missions.judging import Decision, Level
from overnight.people.key import place
from overnight.ports import Examined


def refused(lab: Lab, answer: Redeemed | Refusal, reason: Reason) -> None:
    """It was refused for this reason, in a person's words, on record, and nothing came of it."""
    assert isinstance(answer, Refusal), answer
    assert (answer.reason, answer.words) == (reason, WORDS[reason])
    told = lab.events("approval.refused")[-1]
    assert (told["reason"], told["why"]) == (reason, f"{reason}: {WORDS[reason]}")
    before = list(lab.landed)
    lab.drive()
    assert lab.landed == before


def test_an_approval_lands_exactly_what_it_is_about(lab: Lab) -> None:
    """The token is short, says nothing by itself, and who decided is on record."""
    lab.submit()
    token = lab.issue()
    assert (len(token), token.isascii()) == (40, True)
    assert COMMIT[:8] not in token
    taken = lab.redeem(token)
    assert taken == Redeemed(task="t1", commit=COMMIT, action=Action.LAND, operator="ann")
    lab.drive()
    assert lab.landed == [f"{COMMIT} by ann"]
    (told,) = lab.events("approval.taken")
    assert (told["actor"], told["commit"], told["channel"], told["sender"]) == ("ann", COMMIT, "telegram", "1001")
    assert token not in str([lab.events(what) for what in ("approval.issued", "approval.taken")])


def test_a_rejection_ends_the_task_with_its_words(lab: Lab) -> None:
    """Words that came with it are its reason."""
    lab.submit()
    assert isinstance(lab.redeem(lab.issue(action=Action.REJECT), why="not like this"), Redeemed)
    lab.drive()
    assert (lab.row()["phase"], lab.landed) == ("rejected", [])
    assert lab.events("task.ended")[-1]["why"] == "not like this"


@pytest.mark.parametrize("token", ["", "yes", "approve t1", "o1", "o1" + "A" * 37, "o1" + "A" * 39, "o1" + "é" * 38])
def test_free_text_approves_nothing(lab: Lab, token: str) -> None:
    """Words, and what is no whole token, are garbled."""
    lab.submit()
    refused(lab, lab.redeem(token), Reason.GARBLED)


def test_a_token_that_nobody_made_is_unknown(lab: Lab) -> None:
    """The right form is not enough."""
    lab.submit()
    lab.issue()
    refused(lab, lab.redeem("o1" + "A" * 38), Reason.UNKNOWN)


@pytest.mark.parametrize("at", [18, 30, 39])
def test_a_forged_signature_is_refused(lab: Lab, at: int) -> None:
    """One character that is another."""
    lab.submit()
    token = lab.issue()
    other = "A" if token[at] != "A" else "Q"
    refused(lab, lab.redeem(token[:at] + other + token[at + 1 :]), Reason.FORGED)
    assert isinstance(lab.redeem(token), Redeemed), "a refused try uses nothing up"


@pytest.mark.parametrize("length", [0, 1, 17, 18, 39])
def test_a_truncated_token_is_refused(lab: Lab, length: int) -> None:
    """However much of it is left."""
    lab.submit()
    refused(lab, lab.redeem(lab.issue()[:length]), Reason.GARBLED)


def test_a_used_ticket_is_refused(lab: Lab) -> None:
    """Before and after what it was about has happened."""
    lab.submit()
    token = lab.issue()
    lab.redeem(token)
    assert lab.redeem(token) == Refusal(reason=Reason.USED, words=WORDS[Reason.USED], task="t1")
    lab.drive()
    refused(lab, lab.redeem(token), Reason.USED)
    assert (lab.landed, len(lab.events("approval.taken"))) == ([f"{COMMIT} by ann"], 1)


def test_one_of_several_tickets_decides(lab: Lab) -> None:
    """A yes and a no, and another person's yes, were made: the first that comes counts, the others find it decided."""
    lab.submit()
    tokens = lab.issue(), lab.issue(action=Action.REJECT), lab.issue("bob")
    assert isinstance(lab.redeem(tokens[0]), Redeemed)
    for token, sender in ((tokens[1], "1001"), (tokens[2], "2002")):
        assert lab.redeem(token, sender) == Refusal(reason=Reason.DECIDED, words=WORDS[Reason.DECIDED], task="t1")
    lab.drive()
    assert lab.landed == [f"{COMMIT} by ann"]
    refused(lab, lab.redeem(tokens[2], "2002"), Reason.ENDED)


def test_a_ticket_expires(lab: Lab) -> None:
    """At its time, not a second later."""
    lab.submit()
    token = lab.issue(lifetime=60)
    clock(lab).at += 60
    refused(lab, lab.redeem(token), Reason.EXPIRED)


def test_a_clock_that_is_set_back_makes_nothing_valid_again(lab: Lab) -> None:
    """What the journal saw of time counts; where it saw nothing, a clock before the ticket's birth is no clock."""
    lab.submit()
    token = lab.issue(lifetime=600)
    clock(lab).at += 700
    lab.submit("t2")
    clock(lab).at -= 650
    refused(lab, lab.redeem(token), Reason.EXPIRED)
    later = lab.issue(ask="t2", lifetime=600)
    clock(lab).at -= 300
    refused(lab, lab.redeem(later), Reason.CLOCK)
    clock(lab).at += 299
    assert isinstance(lab.redeem(later), Redeemed), "clocks may be mended a little"


@pytest.mark.parametrize(
    ("sender", "channel"),
    [
        ("2002", "telegram"),
        ("", "telegram"),
        ("ann", "telegram"),
        ("1001", "ntfy"),
        ("bob", "web"),
        ("eve", "web"),
        ("ann", "cli"),
    ],
)
def test_another_sender_is_refused(lab: Lab, sender: str, channel: str) -> None:
    """Somebody else's id, the right id on another channel, and a name that anybody can say."""
    lab.submit()
    token = lab.issue()
    refused(lab, lab.redeem(token, sender, channel), Reason.SENDER)
    assert lab.events("approval.refused")[-1]["actor"] == f"{channel}:{sender}"
    assert isinstance(lab.redeem(token, "ann-topic", "ntfy"), Redeemed), "each of her own channels will do"


def test_an_operator_who_is_gone_or_may_no_more_is_refused(lab: Lab) -> None:
    """The settings of now count, not those of when it was made."""
    lab.submit()
    token = lab.issue()
    lab.people = {"bob": BOB}
    refused(lab, lab.redeem(token), Reason.OPERATOR)
    lab.people = {"ann": replace(ANN, may=(Right.ANSWER,))}
    refused(lab, lab.redeem(token), Reason.RIGHT)


def test_a_ticket_for_another_commit_is_void(lab: Lab) -> None:
    """The task asks again, about what it has by now; the ticket about the commit before stays void."""
    lab.commits = [COMMIT, OTHER]
    lab.submit()
    stale, used = lab.issue("bob"), lab.issue()
    lab.redeem(used)
    lab.drive()
    assert lab.landed == [f"{COMMIT} by ann"]
    refused(lab, lab.redeem(stale, "2002"), Reason.DECIDED)
    with pytest.raises(NotDecided, match="another commit"):
        lab.issue(commit=COMMIT)
    assert isinstance(lab.redeem(lab.issue(commit=OTHER)), Redeemed)
    lab.drive()
    assert lab.landed == [f"{COMMIT} by ann", f"{OTHER} by ann"]


def test_a_new_commit_voids_what_nobody_decided(lab: Lab) -> None:
    """A retry has another commit: the word about the old one is refused for it."""
    lab.submit()
    stale = lab.issue()
    lab.call("want", task="t1", want="cancel")
    lab.drive()
    lab.commits = [OTHER]
    lab.call("retry", task="t1", phase="queued", good="landed")
    lab.drive()
    refused(lab, lab.redeem(stale), Reason.COMMIT)


@pytest.mark.parametrize("how", ["landed", "cancelled"])
def test_after_the_end_nothing_counts(lab: Lab, how: str) -> None:
    """Landed by somebody else's word, or cancelled."""
    lab.submit()
    token = lab.issue()
    if how == "landed":
        lab.redeem(lab.issue("bob"), "2002")
    else:
        lab.call("want", task="t1", want="cancel")
    lab.drive()
    assert lab.row()["phase"] == how
    refused(lab, lab.redeem(token), Reason.ENDED)


def test_a_word_that_was_taken_yields_to_a_cancel(lab: Lab) -> None:
    """Cancelled before anything came of it: nothing comes of it."""
    lab.submit()
    lab.redeem(lab.issue())
    lab.call("want", task="t1", want="cancel")
    lab.drive()
    assert (lab.row()["phase"], lab.landed) == ("cancelled", [])


def test_a_paused_task_takes_no_word(lab: Lab) -> None:
    """The ticket is good again once it is resumed and asks the same."""
    lab.submit()
    token = lab.issue()
    lab.call("want", task="t1", want="pause")
    lab.drive()
    refused(lab, lab.redeem(token), Reason.NOT_WAITING)
    lab.call("resume", task="t1")
    lab.drive()
    assert isinstance(lab.redeem(token), Redeemed)


def test_another_action_is_refused(lab: Lab) -> None:
    """What the person was shown must be what the ticket does; what is asked for must allow it."""
    lab.submit()
    token = lab.issue(action=Action.REJECT)
    refused(lab, lab.redeem(token, expect=Action.LAND), Reason.ACTION)
    with pytest.raises(NotDecided, match="another action"):
        lab.issue("bob", Action.LAND_ANYWAY)


def test_what_is_blocked_needs_a_word_that_means_it(lab: Lab) -> None:
    """A plain yes can't even be made, and who may approve may not do that unless it was said."""
    lab.anyway = True
    lab.submit()
    with pytest.raises(NotDecided, match="land --anyway, reject"):
        lab.issue()
    with pytest.raises(BadInput, match="`anyway` is missing"):
        lab.issue(action=Action.LAND_ANYWAY)
    assert isinstance(lab.redeem(lab.issue("bob", Action.LAND_ANYWAY), "2002"), Redeemed)
    lab.drive()
    assert lab.landed == [f"{COMMIT} by bob"]


def test_another_key_voids_everything(lab: Lab) -> None:
    """Replaced, removed, or open to others: refused; with the old one back it counts."""
    lab.submit()
    token, path = lab.issue(), place(lab.home)
    old = path.read_bytes()
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    path.write_bytes(os.urandom(32))
    refused(lab, lab.redeem(token), Reason.FORGED)
    path.unlink()
    refused(lab, lab.redeem(token), Reason.FORGED)
    assert not path.exists(), "a token makes no key"
    path.write_bytes(old[:31])
    path.chmod(0o600)
    refused(lab, lab.redeem(token), Reason.KEY)
    path.write_bytes(old)
    path.chmod(0o644)
    refused(lab, lab.redeem(token), Reason.KEY)
    path.chmod(0o600)
    assert isinstance(lab.redeem(token), Redeemed)


@pytest.mark.parametrize(("was", "now"), [('"land"', '"land --anyway"'), (COMMIT, OTHER), ('"ann"', '"bob"')])
def test_a_record_that_was_changed_is_refused(lab: Lab, was: str, now: str) -> None:
    """Who can write the journal's file can't make a ticket say something else."""
    lab.submit()
    token = lab.issue()
    db = sqlite3.connect(lab.home / "journal.db")
    with contextlib.closing(db), db:
        done = db.execute("UPDATE record SET value = replace(value, ?, ?) WHERE kind = 'ticket'", (was, now)).rowcount
    assert done == 1
    refused(lab, lab.redeem(token, "2002" if "bob" in now else "1001"), Reason.FORGED)


def test_there_is_no_other_way_in(lab: Lab) -> None:
    """Neither a signal, nor a record by hand, nor a row that somebody wrote into the file decides."""
    lab.submit()
    forged = Decision(commit=COMMIT, approved=True, by="ann", ask="t1.1.0.1")
    with pytest.raises(NotDecided, match="nothing but a ticket"):
        lab.call("signal", task="t1", name="decision", payload=builtins(forged))
    assert lab.events("approval.refused")[-1]["reason"] == Reason.NO_TICKET
    with pytest.raises(BadInput, match="not set by hand"):
        lab.call("put", kind="ticket", key="x", value={})
    with pytest.raises(BadInput, match="not set by hand"):
        lab.call("drop", kind="ticket", key="x")
    db = sqlite3.connect(lab.home / "journal.db")
    with contextlib.closing(db), db:
        row = ("t1", "decision", encode(forged).decode(), 1.0)
        db.execute("INSERT INTO signal(task, name, payload, at) VALUES (?, ?, ?, ?)", row)
        db.execute("UPDATE task SET state = 'ready', wait_for = NULL, hold = NULL")
    lab.drive()
    assert (lab.landed, lab.row()["wait_for"]) == ([], "signal decision")
    assert "without a ticket" in lab.events("signal.refused")[-1]["why"]
    assert isinstance(lab.redeem(lab.issue()), Redeemed)
    lab.drive()
    assert lab.landed == [f"{COMMIT} by ann"]


def test_nothing_is_made_for_nobody_or_for_nothing(lab: Lab) -> None:
    """Unknown people and tasks, tasks that ask nothing, and times out of bounds."""
    lab.submit()
    with pytest.raises(BadInput, match="Nobody is called 'eve'"):
        lab.issue("eve")
    with pytest.raises(UnknownTask):
        lab.issue(ask="nope")
    with pytest.raises(BadInput, match="is none of land"):
        lab.call("issue", ask="t1", operator="ann", action="yes")
    for lifetime in (0, -1, 8 * 86400, float("nan")):
        with pytest.raises(BadInput, match="good for up to"):
            lab.issue(lifetime=lifetime)
    with pytest.raises(BadInput, match="says the answer"):
        lab.issue(answer="yes")
    lab.redeem(lab.issue())
    lab.drive()
    with pytest.raises(BadState, match="waits for no word"):
        lab.issue()


def test_what_senders_write_is_put_on_record_harmless(lab: Lab) -> None:
    """Without secrets, escapes and line breaks, and cut."""
    lab.submit()
    lab.redeem("no", f"x\n\x1b[31m{'y' * 500}", "telegram")
    (told,) = lab.events("approval.refused")
    assert (len(told["sender"]), "\n" in told["actor"], "\x1b" in told["actor"]) == (80, False, False)


def test_old_tickets_are_swept(lab: Lab) -> None:
    """A month after it has expired a record goes; a late try is still refused."""
    lab.submit()
    old = lab.issue()
    clock(lab).at += 32 * 86400
    lab.issue()
    refused(lab, lab.redeem(old), Reason.UNKNOWN)


def test_a_hold_from_before_tickets_is_decided_like_any_other(lab: Lab) -> None:
    """It does not say what it asks: the journal's steps do."""
    world = Examined(
        commit=COMMIT, evidence="e", risk=Risk(score=40, band=Band.MEDIUM), standing=Standing(level=Level.L3, why="")
    )
    lab.submit()
    db = sqlite3.connect(lab.home / "journal.db")
    with contextlib.closing(db), db:
        db.execute("UPDATE task SET hold = json_remove(hold, '$.ask')")
        db.execute("INSERT INTO step VALUES ('t1', 1, 'examine 0', ?, 1, 1)", (encode(world).decode(),))
        db.execute("INSERT INTO step VALUES ('t1', 1, 'examine 7', ?, 1, 1)", (encode(world).decode(),))
    token = lab.issue()
    assert isinstance(lab.redeem(token), Redeemed)
    assert lab.events("approval.taken")[-1]["ask"] == "t1.1.7.1"


# -- twice at once, and killed ------------------------------------------------------------------------------


def test_of_two_at_once_exactly_one_counts(lab: Lab) -> None:
    """Two processes with the same token, let go at the same moment, again and again."""
    lab.clock = SystemClock()
    for n in range(3):
        task = lab.submit(f"t{n}")
        token = lab.issue(ask=task)
        both = [redeemer(lab.home) for _ in range(2)]
        for process in both:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in both:
            assert process.stdin is not None
            process.stdin.write(f"{token}\n")
            process.stdin.flush()
        said = sorted(json.loads(process.communicate()[0])["type"] for process in both)
        assert said == ["redeemed", "refused"]
    assert {each["reason"] for each in lab.events("approval.refused")} <= {Reason.USED, Reason.DECIDED}
    assert len(lab.events("approval.taken")) == 3


def test_a_kill_at_every_moment_leaves_one_decision_and_one_landing(tmp_path: Path) -> None:
    """Killed before and after each commit between the ticket's making and the landing, then gone on with by people who
    know nothing: the token is sent again, and it lands once."""

    def live(lab: Lab, killer: Killer) -> None:
        lab.submit()
        token = lab.issue(observer=killer)
        lab.tokens.append(token)
        lab.redeem(token, observer=killer)
        lab.drive(killer)

    undisturbed = Killer(None)
    live(Lab(tmp_path / "whole"), undisturbed)
    assert undisturbed.count > 8
    for moment in range(undisturbed.count):
        lab = Lab(tmp_path / str(moment))
        with pytest.raises(Killed):
            live(lab, Killer(moment))
        if not lab.tokens:
            lab.tokens.append(lab.issue())
        again = lab.redeem(lab.tokens[0])
        assert isinstance(again, Redeemed) or again.reason in (Reason.USED, Reason.ENDED), again
        lab.drive()
        assert (lab.landed, lab.row()["phase"], len(lab.events("approval.taken"))) == (
            [f"{COMMIT} by ann"],
            "landed",
            1,
        )
        assert verify_journal(lab.home / "journal.db") > 0


def clock(lab: Lab) -> Hand:
    """The lab's clock, to be moved."""
    assert isinstance(lab.clock, Hand)
    return lab.clock


def test_decisions_of_older_journals_stay_what_they_were(lab: Lab) -> None:
    """One that was taken before there were tickets is an outcome like any other, and is not asked for again."""
    lab.submit()
    db = sqlite3.connect(lab.home / "journal.db")
    with contextlib.closing(db), db:
        words = encode({"commit": COMMIT, "approved": True, "by": "cli", "anyway": False, "why": ""}).decode()
        db.execute("INSERT INTO step VALUES ('t1', 1, 'signal decision 0', ?, 1, 1)", (words,))
        db.execute("UPDATE task SET state = 'ready', wait_for = NULL, hold = NULL")
    lab.drive()
    assert (lab.landed, lab.row()["phase"]) == ([f"{COMMIT} by cli"], "landed")
