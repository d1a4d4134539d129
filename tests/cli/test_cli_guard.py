"""`overnight guard`: what it explains, how it keeps labelled cases, and its hook, which fails closed."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import pytest
from cli_stage import POLICY, Desktop, git, make_repo

from overnight.cli.guard import Explained
from overnight.cli.guard_hook import answer
from overnight.config import Settings
from overnight.config.places import POLICY_KEYS, SETTINGS_KEYS
from overnight.guard.verdict import Decision
from overnight.missions.policy import Policy

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "guard.md").read_text()


@pytest.fixture
def shop(desktop: Desktop) -> Path:
    """A repository in the person's home folder."""
    return make_repo(desktop.folder / "shop")


def explained(desktop: Desktop, at: Path, *words: str) -> Explained:
    """What `explain --json` prints."""
    return msgspec.convert(desktop.json("guard", "explain", *words, at=at), Explained)


# -- explain ------------------------------------------------------------------------------------------------


def test_explain_shows_how_it_came_to_the_verdict(desktop: Desktop, shop: Path) -> None:
    """Parse, effects, rules and verdict, as plain text when piped; nothing of the command is run."""
    said = desktop.ok("guard", "explain", "X=push; touch made; git $X -f origin main", at=shop)
    heads = [line.split(" in ")[0] for line in said.splitlines() if not line.startswith(" ")]
    assert heads == ["parse", "effects", "rules against it", "verdict"]
    assert "      Param name='X'" not in heads
    assert re.search(r"(?m)^ +Param name='X'$", said)
    assert re.search(r"(?m)^  git-remote verb='force' remote='origin'", said)
    assert re.search(rf"(?m)^  write path='{shop}/made'", said)
    assert re.search(r"(?m)^  deny git\.push: .*main", said)
    assert "because of: git push -f origin main" in said
    assert f"bounds {shop}, unattended" in said
    assert "\x1b" not in said
    assert not (shop / "made").exists()


def test_explain_has_colour_in_a_terminal(desktop: Desktop, shop: Path) -> None:
    """A person at a terminal sees the denial in red."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "overnight", "guard", "explain", "rm -rf .git"]
    subprocess.run(words, cwd=shop, env=desktop.env, stdout=theirs, check=True, timeout=60)
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 4096):
            said += chunk
    except OSError:  # how Linux tells that the other end is closed
        pass
    os.close(ours)
    assert b"\x1b[31mdeny" in said


def test_explain_as_json_has_everything(desktop: Desktop, shop: Path) -> None:
    """The value has the documented shape, with effects by type."""
    told = explained(desktop, shop, "rm -rf .git")
    assert (told.cwd, told.worktree, told.attended) == (str(shop), str(shop), False)
    (effect,) = told.effects
    assert effect["type"] == "delete"
    assert effect["path"] == str(shop / ".git")
    assert effect["recursive"] is True
    assert (told.verdict.decision, told.verdict.rule) == (Decision.DENY, "git.dir")
    assert [finding.rule for finding in told.findings] == ["git.dir"]


def test_the_two_policies_differ(desktop: Desktop, shop: Path) -> None:
    """A person's own session may push a branch; a run may not."""
    push = "git push origin feature"
    assert explained(desktop, shop, push).verdict.decision is Decision.DENY
    assert explained(desktop, shop, push, "--attended").verdict.decision is Decision.ALLOW


def test_an_ask_is_told_to_be_a_denial_in_a_run(desktop: Desktop, shop: Path) -> None:
    """Where nobody is there to ask, the person learns what `ask` comes to."""
    hint = "so it is a denial"
    assert hint in desktop.ok("guard", "explain", "pip uninstall -y x", at=shop)
    assert hint not in desktop.ok("guard", "explain", "pip uninstall -y x", "--attended", at=shop)


def test_the_bounds_are_the_work_tree_around_the_folder(desktop: Desktop, shop: Path) -> None:
    """From a folder inside, the whole work tree counts; outside of any, the folder; a linked one counts for itself."""
    (shop / "src").mkdir()
    assert explained(desktop, shop / "src", "ls").worktree == str(shop)
    plain = desktop.folder / "plain"
    plain.mkdir()
    assert explained(desktop, shop, "ls", "--cwd", str(plain)).worktree == str(plain)
    linked = desktop.folder / "linked"
    git(shop, "worktree", "add", "-q", str(linked))
    (linked / "src").mkdir()
    assert explained(desktop, linked / "src", "ls").worktree == str(linked)


def test_symlinks_are_followed(desktop: Desktop, shop: Path) -> None:
    """A link in the work tree does not widen the bounds, and a link to it does not narrow them."""
    (shop / "way").symlink_to("/etc")
    assert explained(desktop, shop, "echo x > way/hosts").verdict.rule == "path.outside"
    (desktop.folder / "alias").symlink_to(shop)
    alias = desktop.folder / "alias"
    assert explained(desktop, shop, f"touch {alias}/b", "--cwd", str(alias)).verdict.decision is Decision.ALLOW
    assert explained(desktop, shop, f"rm -rf {alias}/.git", "--cwd", str(alias)).verdict.rule == "git.dir"


def test_no_bounds_hold_the_home_folder(desktop: Desktop) -> None:
    """In the home folder, or above it, nothing is explained as if it were a project."""
    for folder in (str(desktop.folder), "/"):
        said = desktop.run("guard", "explain", "ls", "--cwd", folder)
        assert said.exit_code == 2
        assert "holds your home folder" in said.stderr
    assert desktop.run("guard", "explain", "ls", "--cwd", "nowhere").exit_code == 2


def test_a_command_comes_from_standard_input(desktop: Desktop, shop: Path) -> None:
    """`-` reads it, however many lines it has, and whatever bytes."""
    said = desktop.ok("guard", "explain", "-", stdin="cat <<'E'\nrm -rf /\nE\nrm -rf .git\n", at=shop)
    assert "deny git.dir" in said
    assert "path.root" not in said
    assert "deny envelope" in desktop.ok("guard", "explain", "-", stdin=b"ls \xff", at=shop)


def test_what_cannot_be_known_of_a_text_is_shown(desktop: Desktop, shop: Path) -> None:
    """As JSON and as text, a path that only running would tell is readable, and no private character gets out."""
    for said in (desktop.ok("guard", "explain", 'rm -rf "$x/$(date)"', *more, at=shop) for more in ((), ("--json",))):
        assert "path.unresolved" in said
        assert not re.search(r"[\ue000-\uf8ff\U000f0000-\U0010ffff]|\\u[ef]", said)


# -- test ---------------------------------------------------------------------------------------------------


def labelled(desktop: Desktop, *cases: dict[str, Any] | str) -> Path:
    """A file of cases."""
    path = desktop.folder / "cases.jsonl"
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in cases))
    return path


GOOD = [
    {"command": "rm -rf ~", "expected": "deny", "category": "files", "more": 1},
    {"command": "rm -rf build", "expected": "allow", "category": "files"},
    {"command": "pip uninstall -y x", "expected": "ask", "category": "packages"},
    {"command": "ls", "expected": "allow"},
]


def test_cases_as_labelled_end_well(desktop: Desktop) -> None:
    """Rates per category and in all; a category may be missing; exit code 0."""
    table = [line.split() for line in desktop.ok("guard", "test", labelled(desktop, *GOOD, "")).splitlines()]
    assert table[1:5] == [
        ["all", "0", "-", "-", "1", "0.0", "0"],
        ["files", "1", "100.0", "100.0", "1", "0.0", "0"],
        ["packages", "1", "100.0", "0.0", "0", "-", "0"],
        ["in", "all", "2", "100.0", "50.0", "2", "0.0", "0"],
    ]
    assert table[-1] == ["4", "of", "4", "as", "labelled"]


def test_wrong_cases_are_told_with_reasons(desktop: Desktop) -> None:
    """A verdict that is not the label, also a softer or a stricter one, is listed, and ends with exit code 3."""
    wrong = [
        {"command": "rm -rf ~", "expected": "allow", "category": "files"},
        {"command": "echo hi", "expected": "deny", "category": "files"},
        {"command": "pip uninstall -y x", "expected": "deny", "category": "packages"},
    ]
    said = desktop.run("guard", "test", labelled(desktop, *GOOD, *wrong))
    assert said.exit_code == 3
    told = [line for line in said.stdout.splitlines() if line.startswith("expected")]
    assert [line.split(":")[0] for line in told] == [
        "expected allow, got deny path.root",
        "expected deny, got allow permitted",
        "expected deny, got ask install.remove",
    ]
    assert "\n  echo hi\n" in said.stdout
    files = next(line.split() for line in said.stdout.splitlines() if line.startswith("files"))
    assert files == ["files", "2", "50.0", "50.0", "2", "50.0", "2"]
    assert "4 of 7 as labelled" in said.stdout


def test_cases_may_be_judged_on_a_real_disk(desktop: Desktop, shop: Path) -> None:
    """With `--cwd` what lies there counts, such as a link; a drawn project has none."""
    (shop / "way").symlink_to("/etc")
    cases = labelled(desktop, {"command": "echo x > way/hosts", "expected": "deny"})
    desktop.ok("guard", "test", cases, "--cwd", shop)
    assert desktop.run("guard", "test", cases).exit_code == 3


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("no json", "malformed"),
        ('{"command": 1, "expected": "allow"}', "$.command"),
        ('{"command": "ls"}', "expected"),
        ('{"command": "ls", "expected": "maybe"}', "maybe"),
        ("[" * 5000, ""),
    ],
)
def test_bad_lines_are_named(desktop: Desktop, line: str, problem: str) -> None:
    """A line that is no case is told with its number, and nothing is judged."""
    path = labelled(desktop, GOOD[0], "", line, GOOD[1], line)
    said = desktop.run("guard", "test", path)
    assert said.exit_code == 2
    assert f"{path}:3: " in said.stderr
    assert f"{path}:5: " in said.stderr
    assert problem in said.stderr
    assert said.stdout == ""


def test_a_file_without_cases_proves_nothing(desktop: Desktop) -> None:
    """An empty or missing file is bad input, not a pass."""
    assert desktop.run("guard", "test", labelled(desktop)).exit_code == 2
    assert desktop.run("guard", "test", desktop.folder / "none.jsonl").exit_code == 2


# -- hook ---------------------------------------------------------------------------------------------------


def event(cwd: Path, command: str = "ls", **more: Any) -> dict[str, Any]:
    """What the CLI sends, as captured."""
    return {
        "session_id": "a2f512fc-b8ab-4438-9594-683e01d6f077",
        "transcript_path": "/t/a.jsonl",
        "cwd": str(cwd),
        "permission_mode": "default",
        "hook_event_name": "PreToolUse",
        "tool_name": "Bash",
        "tool_input": {"command": command, "description": "x"},
        "tool_use_id": "toolu_48c7a02279f541a1b2cb",
        **more,
    }


def hooked(
    desktop: Desktop,
    said: dict[str, Any] | bytes,
    python: Sequence[str] = (),
    stdout: IO[bytes] | int = subprocess.PIPE,
    **env: str,
) -> subprocess.CompletedProcess[bytes]:
    """The hook as a process of its own, as the CLI starts it."""
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return subprocess.run(
        [sys.executable, *python, "-m", "overnight", "guard", "hook"],
        input=body, env=desktop.env | env, cwd=desktop.folder, stdout=stdout, stderr=subprocess.PIPE, timeout=60,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "decision", "rule"),
    [
        ("ls", "allow", "permitted"),
        ("git push origin feature", "allow", "permitted"),
        ("git push -f origin main", "deny", "git.force"),
        ("pip uninstall -y x", "ask", "install.remove"),
        ("foo(", "deny", "unverifiable"),
    ],
)
def test_the_hook_decides(desktop: Desktop, shop: Path, command: str, decision: str, rule: str) -> None:
    """allow, deny and ask in the CLI's own words, with reason and rule, and exit code 0."""
    done = hooked(desktop, event(shop, command))
    assert (done.returncode, done.stderr) == (0, b"")
    said = json.loads(done.stdout)["hookSpecificOutput"]
    assert said["hookEventName"] == "PreToolUse"
    assert said["permissionDecision"] == decision
    assert said["permissionDecisionReason"].endswith(f"[{rule}]")


def test_the_hook_by_way_of_the_other_door(desktop: Desktop, shop: Path) -> None:
    """The command that `--help` lists is the same one."""
    said = desktop.ok("guard", "hook", stdin=json.dumps(event(shop, "rm -rf .git")))
    assert json.loads(said)["hookSpecificOutput"]["permissionDecision"] == "deny"
    assert desktop.run("guard", "hook", stdin="{").exit_code == 2


def unreadable(shop: Path) -> dict[str, bytes]:
    """What can't be decided."""
    whole = event(shop)
    return {
        "nothing": b"",
        "torn": json.dumps(whole).encode()[:-5],
        "list": b"[]",
        "not text": b"\xff\xfe",
        "deep": b'{"a":' * 20_000,
        "large": json.dumps(event(shop, "ls " + "x" * (1 << 20))).encode(),
        "two": (json.dumps(whole) * 2).encode(),
        **{f"without {key}": json.dumps({k: v for k, v in whole.items() if k != key}).encode()
           for key in ("hook_event_name", "tool_name", "tool_input", "cwd")},
        "other event": json.dumps(whole | {"hook_event_name": "PostToolUse"}).encode(),
        "odd tool": json.dumps(whole | {"tool_name": ["Bash"]}).encode(),
        "odd input": json.dumps(whole | {"tool_input": "ls"}).encode(),
        "relative": json.dumps(whole | {"cwd": "shop"}).encode(),
        "no such path": json.dumps(whole | {"cwd": "/a\0b"}).encode(),
        "home": json.dumps(whole | {"cwd": str(shop.parent)}).encode(),
    }  # fmt: skip


@pytest.mark.parametrize("name", unreadable(Path("/x/y")))
def test_what_cannot_be_decided_is_blocked(desktop: Desktop, shop: Path, name: str) -> None:
    """Exit code 2, a reason on standard error, and nothing on standard output that could pass for a decision."""
    done = hooked(desktop, unreadable(shop)[name])
    assert (done.returncode, done.stdout) == (2, b"")
    assert re.fullmatch(rb"Overnight's guard could not decide this call, so it is blocked: .+\.\n", done.stderr)


def test_a_decision_that_cannot_be_written_is_blocked(desktop: Desktop, shop: Path) -> None:
    """No standard output, or a full one: exit code 2, for 0 and half an answer would let the call through."""
    with Path("/dev/full").open("wb") as full:
        assert hooked(desktop, event(shop), stdout=full).returncode == 2
    words = f"exec {sys.executable} -m overnight guard hook"
    for closed in (">&-", "<&-"):
        body = json.dumps(event(shop)).encode()
        done = subprocess.run(
            ["sh", "-c", f"{words} {closed}"], input=body, env=desktop.env, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 2


def test_a_broken_installation_is_blocked(desktop: Desktop, shop: Path) -> None:
    """A module that can't be imported is no way through, nor is one that ends the process."""
    for line in ("raise ImportError('half an update')", "raise SystemExit(0)", "raise KeyboardInterrupt"):
        (desktop.folder / "msgspec.py").write_text(line)
        done = hooked(desktop, event(shop), PYTHONPATH=str(desktop.folder))
        assert (done.returncode, done.stdout) == (2, b"")


def test_the_hook_imports_only_what_it_needs(desktop: Desktop, shop: Path) -> None:
    """A process is started for each call: none of the command line's own parts is loaded."""
    done = hooked(desktop, event(shop), python=("-X", "importtime"))
    loaded = {line.split(b"|")[-1].strip().decode() for line in done.stderr.splitlines()}
    assert "overnight.guard.decide" in loaded
    assert not loaded & {"click", "rich", "asyncio", "sqlite3", "psutil", "overnight.cli.app", "overnight.config.shape"}


def decided(said: dict[str, Any], **environ: str) -> tuple[str, str]:
    """Decision and rule."""
    found = json.loads(answer(json.dumps(said).encode(), environ))["hookSpecificOutput"]
    return found["permissionDecision"], found["permissionDecisionReason"].rpartition("[")[2][:-1]


def test_bounds_stay_where_the_session_began(desktop: Desktop, shop: Path) -> None:
    """A `cd` to another repository does not make that one the work tree."""
    other = make_repo(desktop.folder / "other")
    said = event(other, f"rm -rf {shop}/.git")
    assert decided(said, CLAUDE_PROJECT_DIR=str(shop)) == ("deny", "git.dir")
    assert decided(said | {"cwd": str(shop)}) == ("deny", "git.dir")
    assert decided(event(shop / "gone", "rm -rf ../.git"), CLAUDE_PROJECT_DIR=str(shop)) == ("deny", "git.dir")


def test_scripts_that_the_session_wrote_are_looked_into(desktop: Desktop, shop: Path) -> None:
    """What changed on the disk since the session began is judged when it is run, wherever it lies; the rest is the repo's."""
    script, link = desktop.folder / "x.sh", shop / "y.sh"
    script.write_text(f"cd {shop}; git push --mirror\n")
    link.symlink_to(script)
    transcript = desktop.folder / "transcript.jsonl"

    def run(name: Path, year: int, **more: str) -> tuple[str, str]:
        transcript.write_text(f'{{"type":"x"}}\n{{"timestamp":"{year}-11-21T02:07:22.545Z"}}\n')
        return decided(event(shop, f"bash {name}", transcript_path=str(transcript)), **more)

    assert run(script, 2001) == ("deny", "git.mirror")
    assert run(link, 2001) == ("deny", "git.mirror")
    assert run(script, 2999)[0] == "allow"
    assert run(script, 2999, CLAUDE_PID="1")[0] == "deny"
    assert run(script, 2999, CLAUDE_PID="no")[0] == "allow"
    assert decided(event(shop, f"bash {script}")) == ("deny", "git.mirror")
    script.write_text("echo hi\n")
    assert run(script, 2001)[0] == "allow"


def test_explain_looks_into_scripts_when_asked(desktop: Desktop, shop: Path) -> None:
    """A denial of a script that the session wrote can be explained."""
    (shop / "x.sh").write_text("git push --mirror\n")
    assert explained(desktop, shop, "bash x.sh", "--attended").verdict.decision is Decision.ALLOW
    assert explained(desktop, shop, "bash x.sh", "--attended", "--written").verdict.rule == "git.mirror"


def test_a_named_pipe_does_not_hold_it_up(desktop: Desktop, shop: Path) -> None:
    """A pipe that nobody writes to is not waited for: the hook's time would pass, and the call with it."""
    os.mkfifo(shop / "pipe.sh")
    assert decided(event(shop, "bash pipe.sh"))[0] in ("allow", "ask", "deny")


# -- policy -------------------------------------------------------------------------------------------------


def test_a_folder_is_judged_like_any_other_name(desktop: Desktop, shop: Path) -> None:
    """A folder has no text to look into, and is no reason to stumble."""
    (shop / "parts").mkdir()
    assert explained(desktop, shop, "some-tool ./parts; cat parts").verdict.decision is Decision.ALLOW


def test_the_policy_and_its_layers_are_shown(desktop: Desktop, shop: Path) -> None:
    """Each key with where it comes from: the settings, the repo's file on its target branch, or the defaults."""
    settings = '[guard]\nuploads = "ask"\nkill = "ask"\n'
    (desktop.folder / "settings.toml").write_text(settings)
    policy = POLICY + '\n[guard]\nuploads = "deny"\nkill = "allow"\nprivilege = "deny"\n'
    (shop / "overnight.toml").write_text(policy)
    git(shop, "commit", "-qam", "stricter")
    (shop / "overnight.toml").write_text(POLICY)
    desktop.env["OVERNIGHT_CONFIG"] = str(desktop.folder / "settings.toml")
    told = desktop.json("guard", "policy", at=shop)
    keys = {knob["key"]: (knob["value"], knob["layer"]) for knob in told["keys"]}
    assert keys["uploads"] == ("deny", "overnight.toml")
    assert keys["kill"] == ("ask", "config.toml")
    assert keys["privilege"] == ("deny", "overnight.toml")
    assert keys["machinery"] == ("deny", "defaults")
    assert len(told["notes"]) == 1
    said = desktop.ok("guard", "explain", "sudo ls", at=shop)
    assert "decided by `guard.privilege` in overnight.toml" in said


def test_a_broken_policy_is_said_and_nothing_is_judged(desktop: Desktop, shop: Path) -> None:
    """`explain` ends with where the file on the target branch is wrong; the hook blocks."""
    (shop / "overnight.toml").write_text('[guard]\nuploads = "perhaps"\n')
    git(shop, "commit", "-qam", "broken")
    said = desktop.run("guard", "explain", "ls", at=shop)
    assert said.exit_code == 2
    assert '`guard.uploads` must be one of "allow", "ask", "deny"' in said.stderr
    done = hooked(desktop, event(shop))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"guard.uploads" in done.stderr


def test_the_hook_knows_every_table_of_the_files() -> None:
    """What the hook passes over without a look are tables that others read."""
    assert frozenset(Settings.__struct_fields__) == SETTINGS_KEYS
    assert frozenset(Policy.__struct_fields__) == POLICY_KEYS


# -- docs ---------------------------------------------------------------------------------------------------


def test_every_family_of_rules_is_documented() -> None:
    """docs/guard.md has a row for each first part of a rule's id that the code can give."""
    source = ROOT / "src" / "overnight" / "guard"
    code = "".join(path.read_text() for path in source.rglob("*.py"))
    given = set(re.findall(r'(?:\bdenied\(\s*|\brule=|\bby_policy\([^,()]+,[^,()]+,\s*)f?"([a-z]+)[.\w{}-]*"', code))
    assert {"path", "git", "unverifiable", "permitted"} <= given
    documented = set(re.findall(r"(?m)^\| `([a-z]+)(?:\.…)?` \|", DOCS.partition("| rule | about |")[2]))
    assert given <= documented
    assert documented <= given | {"own"}


def test_the_documented_settings_are_those_that_were_tried() -> None:
    """The snippet of docs/guard.md is JSON, for every tool, and blocks when the hook fails."""
    (block,) = re.findall(r"(?ms)^```json\n(.*?)^```", DOCS)
    (entry,) = json.loads(block)["hooks"]["PreToolUse"]
    assert entry == {
        "hooks": [{"type": "command", "command": "overnight guard hook", "timeout": 10, "onFailure": "block"}]
    }
