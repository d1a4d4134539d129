"""`overnight replay` with the real CLI in the real box: recorded in a real night, run again, compared, forked, reconsidered."""

from __future__ import annotations

import json
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
from replay_lab import DONE, KEY, Machine, bash

from overnight.agents.scripted import Reply, Use
from overnight.cassette.entries import NAME, unpack

pytestmark = [pytest.mark.cli, pytest.mark.slow]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A night in which `one` made seven calls, one of them denied, and committed its work."""
    made = Machine(tmp_path_factory.mktemp("night"))
    work = made.work("one")
    made.night(
        "one",
        (
            Use("Read", {"file_path": str(work / "seed.txt")}),
            Use("Write", {"file_path": str(work / "a.py"), "content": f"# of {work}\nprint(1)\n"}),
            Use("Edit", {"file_path": str(work / "a.py"), "old_string": "print(1)", "new_string": "print(2)"}),
            bash("python3 a.py > out.txt; pwd; cat a.py"),
            bash("grep -rn seed . --include=*.txt"),
            bash("git push origin main"),
            bash("git add -A && git commit -q -m Work && echo committed"),
            DONE,
        ),
    )
    assert made.shown["row"]["phase"] == "landed", made.shown["row"]
    return made


def left_over(machine: Machine) -> list[Path]:
    return list((machine.home / "replays").glob("*/*"))


def test_a_run_replays_to_the_same_files(machine: Machine) -> None:
    """Seven calls with the same verdicts, every exchange, the same tree; the repository and the run are only read."""
    refs, cassette = machine.git("for-each-ref"), (machine.run("one") / NAME).read_bytes()
    before = len(left_over(machine))
    found = machine.json("replay", "one")
    assert (found["same"], found["recorded"], found["calls"]) == (True, 8, 7), found
    assert found["played"] == list(range(1, 9))
    assert found["files"]["same"] is True
    assert (found["mismatches"], found["differing"], found["unasked"]) == ([], [], [])
    assert {"worktree", "home", "device"} <= {rule["rule"] for rule in found["rules"]}
    assert machine.git("for-each-ref") == refs
    assert (machine.run("one") / NAME).read_bytes() == cassette
    assert len(left_over(machine)) == before
    said = machine.overnight("replay", "one.1.1")
    assert (said.returncode, "as recorded" in said.stdout) == (0, True)
    assert "overlooked on purpose" in said.stdout


def test_no_key_is_in_what_was_kept(machine: Machine) -> None:
    """Nor the run's token: not in the cassette, packed or unpacked, nor anywhere else in the state folder."""
    raw = (machine.run("one") / NAME).read_bytes()
    words = [word.decode() for word in raw.replace(b'"', b" ").split() if len(word) > 40]
    unpacked = b""
    for word in words:
        try:
            unpacked += unpack(word)
        except (ValueError, zlib.error):
            continue
    assert b"Do the work." in unpacked
    for path in (path for path in machine.home.rglob("*") if path.is_file() and not path.is_symlink()):
        assert KEY.encode() not in path.read_bytes(), path
    given = json.loads((machine.run("one") / "given" / "claude-settings.json").read_text())
    token = given["apiKeyHelper"].split()[1].strip("'").encode()
    assert len(token) > 20
    for secret in (KEY.encode(), token):
        assert secret not in raw
        assert secret not in unpacked


def test_until_leaves_the_files_for_a_look(machine: Machine) -> None:
    """As they were before that exchange: edited, not yet run."""
    found = machine.json("replay", "one", "--until", "4")
    place = Path(found["left"])
    assert (found["same"], found["played"], found["end"]) == (True, [1, 2, 3], "stopped")
    assert "print(2)" in (place / "a.py").read_text()
    assert str(place) in (place / "a.py").read_text()
    assert not (place / "out.txt").exists()
    assert machine.overnight("replay", "one", "--until", "9").returncode == 2


def test_a_fork_goes_on_with_the_real_model(machine: Machine) -> None:
    """A new task through the queue: the past is played and free, what comes after is asked for, metered and lands."""
    asked = machine.night(
        "",
        (bash("echo forked > forked.txt"), DONE),
        queue=lambda: machine.json("replay", "one", "--live-from", "5")["id"],
    )
    shown: Any = machine.shown
    assert shown["row"]["phase"] == "landed", shown["row"]
    branch = shown["row"]["ending"]["branch"]
    assert machine.git("show", f"{branch}:forked.txt") == "forked"
    assert "print(2)" in machine.git("show", f"{branch}:a.py")
    assert len(asked) == 2
    assert "Do the work." in str(asked[0].body["messages"][0])
    assert "tool_result" in str(asked[0].body["messages"][-1])
    bill = shown["runs"][0]["outcome"]["bill"]
    assert sum(use["calls"] for use in bill["models"]) == 2
    assert (bill["route"], bill["paid"]) == ("gateway", True)


def test_another_policy_is_asked(machine: Machine) -> None:
    """What it would have denied, call by call, without running anything; as the repo's or the machine's."""
    rule = '[guard]\n[[guard.rules]]\neffect = "write"\nmatch = "**/*.py"\nthen = "deny"\n'
    for name in ("overnight.toml", "config.toml"):
        file = machine.folder / "new" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(rule)
        rows = machine.json("replay", "one", "--guard", str(file))
        assert [row["tool"] for row in rows] == ["Read", "Write", "Edit", "Bash", "Bash", "Bash", "Bash"]
        changed = [row["tool"] for row in rows if row["then"] == "allow" != row["now"]]
        assert changed == ["Write", "Edit"]
        assert [row["then"] for row in rows][5] != "allow"
        assert not any(row["unsure"] for row in rows)
        said = machine.overnight("replay", "one", "--guard", str(file)).stdout
        assert "7 calls: 2 would be denied that were allowed" in said
    (machine.folder / "new" / "config.toml").write_text("[guard]\nwrong = 1\n")
    assert machine.overnight("replay", "one", "--guard", str(machine.folder / "new" / "config.toml")).returncode == 2


def test_a_changed_request_is_reported(machine: Machine) -> None:
    """Which exchange, what differs, in both texts; going on reports it as well."""
    spec = machine.run("one") / "spec.json"
    sound = spec.read_text()
    try:
        spec.write_text(sound.replace("Do the work.", "Do other work."))
        found = machine.json("replay", "one", code=6)
        (mismatch,) = found["mismatches"]
        lines = [line for difference in mismatch["differences"] for line in difference["lines"]]
        assert (found["same"], mismatch["n"], found["played"]) == (False, 1, [])
        assert [line for line in lines if line.startswith("-") and "Do the work." in line]
        assert [line for line in lines if line.startswith("+") and "Do other work." in line]
        said = machine.overnight("replay", "one", "--go-on")
        assert said.returncode == 6
        assert "+Do other work." in said.stdout
        assert "the files are the same" in said.stdout
    finally:
        spec.write_text(sound)


def test_a_tampered_recording_is_refused(machine: Machine) -> None:
    """With the place and the reason; nothing is run."""
    path = machine.run("one") / NAME
    sound = path.read_bytes()
    lines = sound.splitlines(keepends=True)
    try:
        for touched in (
            sound.replace(b'"status":200', b'"status":201', 1),
            b"".join(lines[:-1]),
            b"".join([*lines[:3], *lines[4:]]),
        ):
            path.write_bytes(touched)
            said = machine.overnight("replay", "one")
            assert said.returncode == 5, said.stdout + said.stderr
            assert "is not as it was written" in said.stderr
    finally:
        path.write_bytes(sound)


def test_sub_agents_at_once_replay(tmp_path: Path) -> None:
    """Their requests come in any order, and each gets its own answers."""
    machine = Machine(tmp_path)
    helpers = tuple(
        Use("Task", {"description": "help", "prompt": f"HELP {n}", "subagent_type": "general-purpose"}) for n in (1, 2)
    )
    steps = (Reply(helpers), bash("echo x >> x.txt"), bash("echo y >> y.txt"), DONE, DONE, DONE)
    machine.night("two", steps)
    found = machine.json("replay", "two")
    assert (found["same"], found["recorded"], found["calls"]) == (True, 6, 4), found


def test_a_full_recording_says_so_and_stands_for_no_more(tmp_path: Path) -> None:
    """The run goes on to its end; the replay plays what there is, and is not called the same."""
    machine = Machine(tmp_path, '[cassette]\nmost = "24KiB"\n')
    machine.night(
        "three", (bash(f"head -c 20000 /dev/urandom | base64; echo {'x' * 10}"), bash("echo y > y.txt"), DONE)
    )
    assert machine.shown["row"]["phase"] == "landed", machine.shown["row"]
    tape = machine.shown["runs"][0]["outcome"]["tape"]
    assert "cassette.most" in tape["missing"]
    said = machine.overnight("replay", "three")
    assert said.returncode == 6
    assert "the recording is incomplete: it would be larger than 24576 bytes" in said.stdout


def test_nothing_is_recorded_where_that_is_off(tmp_path: Path) -> None:
    """And a replay says what would have made a recording."""
    machine = Machine(tmp_path, "[cassette]\nrecord = false\n")
    machine.night("four", (bash("echo y > y.txt"), DONE))
    assert not (machine.run("four") / NAME).exists()
    said: subprocess.CompletedProcess[str] = machine.overnight("replay", "four")
    assert (said.returncode, "cassette.record" in said.stderr) == (2, True)
