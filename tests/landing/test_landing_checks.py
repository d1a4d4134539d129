"""Checks: on exactly the commit, apart from each other, bounded, and honest about it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from landing_world import World, commit, git, run, write

from overnight.boxes.bubblewrap import Bubblewrap
from overnight.boxes.settings import BoxSettings
from overnight.missions.hold import Held, HoldReason
from overnight.missions.policy import Check
from overnight.missions.run import CheckResult
from overnight.missions.units import Duration, Size


def check(
    world: World, command: str, *, commit: str | None = None, limit: float = 60, **settings: object
) -> CheckResult:
    """One check on a commit."""
    checks = {"it": Check(run=command, limit=Duration(limit))}
    return run(world.checks(**settings).run(world.task, commit or world.first, checks, "baseline"))[0]


def test_a_check_sees_exactly_the_commit(boxed: World) -> None:
    """Its files and nothing else, a clean status, HEAD on the commit, its log outside."""
    write(boxed.repo, {"a.txt": "not committed\n", "stray.txt": "x"})
    result = check(boxed, "cat a.txt; ls; git status --porcelain; git rev-parse HEAD; echo problem >&2")
    assert (result.passed, result.code, result.commit) == (True, 0, boxed.first)
    assert result.output == f"one\na.txt\novernight.toml\nsub\n{boxed.first}\nproblem\n"
    assert Path(result.log).read_text() == result.output
    assert list((boxed.state / "scratch").iterdir()) == []


def test_a_check_fails_by_its_exit_code(boxed: World) -> None:
    """Any but 0."""
    result = check(boxed, "echo broken; exit 3")
    assert (result.passed, result.code, result.output) == (False, 3, "broken\n")


def test_every_check_runs_in_order_and_none_speaks_in_another(boxed: World) -> None:
    """What one leaves behind, in the tree, in HOME or in git, the next does not find."""
    mess = "echo x > a.txt; echo x > left; echo x > $HOME/left; git config core.pager x; rm -rf sub"
    clean = 'test "$(cat a.txt)" = one && test ! -e left && test ! -e $HOME/left && test -e sub && git diff --exit-code'
    checks = {"mess": Check(run=mess), "look": Check(run=clean), "fails": Check(run="false"), "last": Check(run="true")}
    results = run(boxed.checks().run(boxed.task, boxed.first, checks, "check-1"))
    assert [(r.name, r.passed) for r in results] == [("mess", True), ("look", True), ("fails", False), ("last", True)]


def test_a_check_in_a_box_reaches_nothing(tmp_path: Path) -> None:
    """Not the user's files, not another folder, not the network."""
    world = World(tmp_path, Bubblewrap())
    (tmp_path / "secret").write_text("secret")
    result = check(
        world, f"cat {tmp_path}/secret; echo x > {tmp_path}/made; cat /proc/net/route | wc -l; ls {world.repo}"
    )
    assert "secret\n" not in result.output.replace("/secret", "")
    assert not (tmp_path / "made").exists()
    assert "\n1\n" in result.output


def test_a_check_over_its_limit_is_killed_and_failed(boxed: World) -> None:
    """No exit code, and the output says why it ended."""
    result = check(boxed, "echo begun; sleep 600", limit=0.5)
    assert (result.passed, result.code) == (False, None)
    assert result.output == "begun\n\n[killed: it ran into its limit of 500ms]"


def test_a_check_that_prints_without_end_is_killed(boxed: World) -> None:
    """The disk is not filled by a loop."""
    result = check(boxed, "yes", printed=1 << 20)
    assert (result.passed, result.code) == (False, None)
    assert "printed more than 1048576 bytes" in result.output


def test_a_check_that_takes_too_much_is_killed_for_that(tmp_path: Path) -> None:
    """A check's output says which bound of its box it went over; it failed, and is not taken for one that ran long."""
    world = World(tmp_path, Bubblewrap(BoxSettings(memory=Size(64 << 20))))
    result = check(world, "exec tail /dev/zero")
    assert (result.passed, result.code) == (False, None)
    assert result.output.endswith("[killed: it used more than 64 MiB of memory]")


def test_long_output_is_cut_in_the_middle_and_counted(world: World) -> None:
    """Head and tail, with the number of bytes between; the log has all."""
    result = check(world, "seq 1 5000", shown=100)
    whole = Path(result.log).read_bytes()
    head, _, tail = result.output.partition(f"\n[… {len(whole) - 200} bytes left out …]\n")
    assert whole.startswith(head.encode())
    assert whole.endswith(tail.encode())
    assert (len(head), len(tail)) == (100, 100)


def test_output_cant_move_a_cursor(world: World) -> None:
    """Colours, escapes and control characters are gone from what people and models read."""
    result = check(world, r"printf '\033[31mred\033[0m\007 \033]0;title\007over\rwritten\r\n\342\200\256x\377'")
    assert result.output == "red over\nwritten\nx\ufffd"


def test_a_pass_is_remembered_for_an_equal_tree(world: World) -> None:
    """Same tree and same command: not run again, said so, named for the asked commit. Another tree runs."""
    counter = world.root / "count"
    first = check(world, f"echo x >> {counter}")
    same = git(world.repo, "commit-tree", "-p", world.first, "-m", "same", f"{world.first}^{{tree}}")
    again = check(world, f"echo x >> {counter}", commit=same)
    assert counter.read_text() == "x\n"
    assert (again.passed, again.commit) == (True, same)
    assert world.first in again.output
    assert again.log == first.log
    check(world, f"echo x >> {counter}", commit=commit(world.repo, {"a.txt": "two\n"}))
    assert counter.read_text() == "x\nx\n"


def test_a_failure_is_never_remembered(world: World) -> None:
    """It may have been the machine's fault."""
    counter = world.root / "count"
    for _ in range(2):
        assert not check(world, f"echo x >> {counter}; exit 1").passed
    assert counter.read_text() == "x\nx\n"


def test_a_check_that_wants_the_network_holds(world: World) -> None:
    """Nothing runs, and the hold says what to change."""
    checks = {"it": Check(run="true", egress=("example.org",))}
    with pytest.raises(Held) as caught:
        run(world.checks().run(world.task, world.first, checks, "baseline"))
    assert caught.value.hold.reason is HoldReason.BOX_UNAVAILABLE
    assert "example.org" in caught.value.hold.why


def test_a_check_that_passes_by_chance_fails(world: World, tmp_path: Path) -> None:
    """It must pass as often as the policy says, and the output says that it did not."""
    command = f"test ! -e {tmp_path}/seen && touch {tmp_path}/seen"
    checks = {"it": Check(run=command, runs=3)}
    result = run(world.checks().run(world.task, world.first, checks, "check-1"))[0]
    assert (result.passed, result.code) == (False, 1)
    assert "it passed 1 times before it failed: it passes by chance" in result.output
    steady = {"it": Check(run=f"echo x >> {tmp_path}/count", runs=3)}
    assert run(world.checks().run(world.task, world.first, steady, "check-2"))[0].passed
    assert (tmp_path / "count").read_text() == "x\n" * 3


def test_without_a_box_checks_hold(tmp_path: Path) -> None:
    """A box that does not start is never replaced by nothing."""
    world = World(tmp_path, Bubblewrap(engines=("/nonexistent/bwrap",)))
    with pytest.raises(Held) as caught:
        check(world, "true")
    assert caught.value.hold.reason is HoldReason.BOX_UNAVAILABLE


def test_a_cancelled_check_is_dead_and_cleared_away(boxed: World) -> None:
    """Its box is killed before the call ends, and its checkout is gone."""
    log = boxed.state / "logs/t1/baseline/01-it.log"
    checks = {"it": Check(run="echo begun; sleep 600")}

    async def cancel() -> None:
        running = asyncio.ensure_future(boxed.checks().run(boxed.task, boxed.first, checks, "baseline"))
        while not (log.exists() and log.read_text()):  # noqa: ASYNC110  # a file has no event
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    run(cancel())
    assert list((boxed.state / "scratch").iterdir()) == []


def test_odd_names_of_checks_are_safe_file_names(world: World) -> None:
    """A name can't lead the log elsewhere."""
    result = run(world.checks().run(world.task, world.first, {"../../x y": Check(run="false")}, "baseline"))[0]
    assert Path(result.log).parent == world.state / "logs/t1/baseline"
