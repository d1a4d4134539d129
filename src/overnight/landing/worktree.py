"""`LocalWorkshop`: worktrees outside the user's folder, a private git dir per run, and what comes out of the box."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field

from overnight.errors import BadInput, GitFailed, StateNotWritable
from overnight.landing import holds
from overnight.landing.export import Export, Exporter, ExportSettings
from overnight.landing.gates import Change, changes, refusals, told
from overnight.landing.git import Git, Observer, unobserved
from overnight.landing.places import Places, write_whole
from overnight.landing.private import EMAIL, NAME, write_private
from overnight.landing.repository import Repository, find_git_dir, open_repository
from overnight.landing.text import one_line, path_text
from overnight.landing.worktree_notes import mend, registered
from overnight.missions.codec import decode, encode
from overnight.missions.hold import Held
from overnight.missions.places import split_run
from overnight.missions.policy import Policy
from overnight.missions.run import Result
from overnight.missions.runbook import parse
from overnight.missions.runbook_zones import fitting, tightened
from overnight.missions.task import Fork, Repo, Task
from overnight.ports import Box, Ground

POLICY_FILE = "overnight.toml"
#: Files whose words agents follow, by name at the root of the tree.
INSTRUCTIONS = ("CLAUDE.md", "AGENTS.md")
#: Policy files above this size, in bytes, are not read.
_POLICY_MOST = 1 << 20


class WorkshopSettings(Struct, frozen=True, kw_only=True):
    """Bounds of the places where agents work."""

    #: Work does not start below this many free bytes on the disks of the state folder and the repository.
    min_free: int = 1 << 30
    #: New files that an agent left uncommitted, up to which they count as part of its work; more are only rescued.
    leftover_files: int = 500
    #: The same, in bytes.
    leftover_bytes: int = 50 << 20
    #: Bytes of each instruction file that agents are told.
    instructions: int = 64 << 10
    #: How work comes out of the box.
    export: ExportSettings = field(default_factory=ExportSettings)


class LocalWorkshop:
    """The port `Workshop` on this machine's git.

    state: the state folder. box: where what agents left is read. read_policy: (bytes, where they are from) to a
    policy; raises PolicyInvalid. observer: called around every git call.
    """

    def __init__(
        self,
        state: Path,
        box: Box,
        read_policy: Callable[[bytes, str], Policy],
        settings: WorkshopSettings | None = None,
        observer: Observer = unobserved,
    ) -> None:
        self._places = Places(state)
        self._read_policy = read_policy
        self._settings = settings or WorkshopSettings()
        self._observer = observer
        self._exporter = Exporter(self._places, box, self._settings.export)

    # -- prepare --------------------------------------------------------------------------------------------

    async def prepare(self, task: Task) -> Ground:
        """As the port says. The ref `refs/overnight/TASK/base` is set last: without it, what is there is half made.

        Raises Held(repo-unavailable) and Held(disk-low).
        """
        repository = await self._open(task.repo)
        self._check_room(repository)
        tree = self._places.worktree(task.id)
        ref = f"refs/overnight/{task.id}/base"
        base = await repository.commit(ref)
        if base is None or not tree.is_dir() or registered(repository, tree) is None:
            target = await repository.target()
            base = target if task.fork is None else await self._forked(task.fork, repository)
            policy, runbook = await self._policy_with_runbook(task, repository, target)
            await self._make_tree(repository, tree, base)
            await repository.set_ref(ref, base, why=f"overnight: {task.id} starts here")
        else:
            policy, runbook = await self._policy_with_runbook(
                task, repository, base if task.fork is None else await repository.target()
            )
        return Ground(
            base=base,
            policy=policy,
            worktree=str(tree),
            objects=str(repository.stores[0]),
            alternates=tuple(str(store) for store in repository.stores[1:]),
            instructions=await self._instructions(repository, base),
            runbook=runbook,
        )

    async def _open(self, repo: Repo) -> Repository:
        return await open_repository(repo, self._places, self._observer)

    def _check_room(self, repository: Repository) -> None:
        try:
            self._places.state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StateNotWritable(path=self._places.state, reason=error.strerror) from error
        for path in (self._places.state, repository.common):
            free = shutil.disk_usage(path).free
            if free < self._settings.min_free:
                raise holds.disk_low(str(path), free, self._settings.min_free)

    async def _forked(self, fork: Fork, repository: Repository) -> str:
        """The commit that the recorded run began from. Raises Held(repo-unavailable)."""
        if (found := await repository.commit(fork.start)) is None:
            why = f"commit {fork.start[:12]}, which {fork.run} began from, is not there any more"
            raise holds.repo_unavailable(why, "the commit, brought back")
        return found

    async def _policy(self, task: Task, repository: Repository, base: str) -> Policy:
        where = f"{POLICY_FILE} on branch `{task.repo.target}` of {task.repo.path}"
        found = await file_at(repository.plain, base, POLICY_FILE)
        mend = f"a valid {POLICY_FILE} committed on `{task.repo.target}`, then `overnight resume {task.id}`"
        if found is None:
            raise holds.repo_unavailable(f"{where} is missing", mend)
        if len(found) > _POLICY_MOST:
            raise holds.repo_unavailable(f"{where} is over {_POLICY_MOST} bytes", mend)
        try:
            policy = self._read_policy(found, where)
        except BadInput as error:
            raise holds.repo_unavailable(str(error), mend) from error
        if policy.target != task.repo.target:
            raise holds.repo_unavailable(f'{where} says `target = "{policy.target}"`: which one is meant?', mend)
        return policy

    async def _policy_with_runbook(self, task: Task, repository: Repository, base: str) -> tuple[Policy, str]:
        """The policy as the task's runbook tightens it, and the runbook's text; empty when it has none."""
        policy = await self._policy(task, repository, base)
        if task.runbook is None:
            return policy, ""
        where = f"{task.runbook} on branch `{task.repo.target}` of {task.repo.path}"
        mend = f"a sound runbook committed on `{task.repo.target}`, then `overnight resume {task.id}`"
        text = await text_at(repository.plain, base, task.runbook)
        if text is None:
            raise holds.repo_unavailable(f"{where} is missing, or is no UTF-8 text", mend)
        try:
            runbook = fitting(parse(text, where), task.runbook, where, policy)
        except BadInput as error:
            raise holds.repo_unavailable(str(error), mend) from error
        return tightened(policy, runbook), text

    async def read(self, task: Task, commit: str, path: str) -> str | None:
        """As the port says."""
        return await text_at((await self._open(task.repo)).plain, commit, path)

    async def _instructions(self, repository: Repository, base: str) -> tuple[tuple[str, str], ...]:
        most = self._settings.instructions
        found: list[tuple[str, str]] = []
        for name in INSTRUCTIONS:
            data = await file_at(repository.plain, base, name)
            if data is not None:
                cut = f"\n[… {len(data) - most} more bytes are not shown …]" if len(data) > most else ""
                found.append((name, data[:most].decode("utf-8", "replace") + cut))
        return tuple(found)

    async def _make_tree(self, repository: Repository, tree: Path, base: str) -> None:
        """A locked worktree at the commit, its files written with our settings, so that no filter of anybody runs."""
        await self._remove_tree(repository, tree)
        tree.parent.mkdir(parents=True, exist_ok=True)
        await repository.git.run(
            "worktree", "add", "--quiet", "--detach", "--no-checkout", "--lock", "--reason",
            "An Overnight task works here. `overnight status` says which; `overnight cancel` ends it.", str(tree), base,
        )  # fmt: skip
        meta = registered(repository, tree)
        assert meta is not None
        await fill(repository, tree, meta / "index", base)

    async def _remove_tree(self, repository: Repository, tree: Path) -> None:
        """The folder first: git's note about it is what a later call finds it by."""
        await asyncio.to_thread(mend, repository, self._places)
        await asyncio.to_thread(self._places.discard, tree)
        if registered(repository, tree) is not None:
            await repository.git.run("worktree", "remove", "--force", "--force", str(tree))

    # -- one run --------------------------------------------------------------------------------------------

    async def open(self, task: Task, ground: Ground, run: str, start: str, against: str | None) -> str:
        """As the port says. A git dir that is there already was made whole by an earlier call: it stays."""
        repository = await self._open(task.repo)
        self._check_room(repository)
        git_dir = self._places.run(run) / "git"
        place = self._places.worktree(task.id)
        if ground.worktree == str(place) and not place.is_dir():  # of a restored state folder
            await self._make_tree(repository, place, start)
        if not git_dir.exists():
            branches = [(task.repo.target, ground.base)]
            if against is not None:
                branches.insert(0, ("target", against))
            tree = Path(ground.worktree)
            meta = registered(repository, tree)
            with self._places.appearing(git_dir) as making:
                await write_private(
                    making, repository, start=start, branch=branch_name(task), work_tree=tree,
                    index=meta / "index" if meta else None, branches=branches, author=task.agent or ground.policy.agent,
                )  # fmt: skip
        return str(git_dir)

    async def collect(self, task: Task, ground: Ground, run: str, git_dir: str, start: str, whole: bool) -> Result:
        """As the port says. The result is noted in the run's folder last; a call after that finds it there.

        Raises Held(repo-unavailable) and Held(box-unavailable).
        """
        repository = await self._open(task.repo)
        note = self._places.run(run) / "collected.json"
        if note.exists():
            noted = decode(note.read_bytes(), Result)
            if await repository.commit(noted.ref) == noted.commit:
                return noted
        tree = Path(ground.worktree)
        if not tree.is_dir():
            raise holds.repo_unavailable(
                f"the worktree {tree} of {task.id} is gone", "a person, who looks what removed it"
            )
        odd = self._mend_link(repository, tree, self._places.run(run))
        known = tuple(dict.fromkeys((start, ground.base)))
        meta = registered(repository, tree)
        export = await self._exporter.export(
            repository, work_tree=tree, agent=Path(git_dir), branch=branch_name(task), start=start, known=known,
            index=(meta or tree) / "index", folder=self._places.run(run) / "collect",
        )  # fmt: skip
        bench = _Bench(repository, task, ground, run, self._settings, self._moment(run))
        result = await bench.result(export, start, whole, odd)
        if export.guard is not None:
            export.guard.unlink(missing_ok=True)
        write_whole(note, encode(result))
        await asyncio.to_thread(self._places.discard, self._places.run(run) / "collect")
        return result

    def _moment(self, run: str) -> str:
        """When this run was first collected: the date of all commits made for it, so that made again they are equal."""
        noted = self._places.run(run) / "collected-at"
        if not noted.exists():
            write_whole(noted, f"{int(time.time())} +0000".encode())
        return noted.read_text()

    def _mend_link(self, repository: Repository, tree: Path, aside: Path) -> tuple[str, ...]:
        """The worktree's `.git` as it was made. What an unconfined agent put there instead is set aside."""
        link, meta = tree / ".git", registered(repository, tree)
        right = f"gitdir: {meta}\n".encode()
        if meta is None or (link.is_file() and not link.is_symlink() and link.read_bytes() == right):
            return ()
        found = os.path.lexists(link)
        if found:
            link.rename(aside / f"replaced-git-{time.time_ns()}")
        with link.open("xb") as file:
            file.write(right)
        return (
            ("the agent replaced the worktree's `.git`; what it put there is not part of the result",) if found else ()
        )

    # -- the end --------------------------------------------------------------------------------------------

    async def tidy(self, task: Task) -> str | None:
        """As the port says. A repository that is gone can hold no ref: its worktree is moved to `kept/` instead.

        Raises Held(box-unavailable).
        """
        tree = self._places.worktree(task.id)
        try:
            repository = await self._open(task.repo)
        except Held:
            if tree.exists():
                self._places.keep(tree, task.id)
            return None
        ref = f"refs/overnight/{task.id}/rescue"
        base = await repository.commit(f"refs/overnight/{task.id}/base")
        if tree.is_dir() and base is not None and not await self._rescue(task, repository, tree, base, ref):
            self._places.keep(tree, task.id)
        await self._remove_tree(repository, tree)
        for name in ("base", "staged"):
            await repository.drop_ref(f"refs/overnight/{task.id}/{name}")
        return ref if await repository.commit(ref) else None

    async def _rescue(self, task: Task, repository: Repository, tree: Path, base: str, ref: str) -> bool:
        """Put what no ref of this task holds into one. False when something could not be had."""
        agent = self._uncollected(task)
        self._mend_link(repository, tree, self._places.state)
        listed = await repository.git.text("for-each-ref", "--format=%(objectname)", f"refs/overnight/{task.id}/")
        known = tuple(dict.fromkeys((base, *listed.split())))
        meta = registered(repository, tree)
        export = await self._exporter.export(
            repository, work_tree=tree, agent=agent, branch=branch_name(task), start=base, known=known,
            index=(meta or tree) / "index", folder=self._places.scratch(f"tidy-{task.id}"),
        )  # fmt: skip
        new = [i for i in (export.head, export.branch, *export.tips) if i is not None and i not in known]
        held = {await repository.tree(commit) for commit in known}
        if export.tree is not None and (new or export.tree not in held):
            parents = [*new, *([old] if (old := await repository.commit(ref)) else [])] or [base]
            message = f"Left by {task.id}: {one_line(task.title)}"
            commit = await commit_tree(repository.plain, export.tree, parents, message, f"{int(time.time())} +0000")
            await repository.set_ref(ref, commit, why=f"overnight: rescue of {task.id}")
        if export.guard is not None:
            export.guard.unlink(missing_ok=True)
        await asyncio.to_thread(self._places.discard, self._places.scratch(f"tidy-{task.id}"))
        return export.tree is not None and not export.problems and not export.nested

    def _uncollected(self, task: Task) -> Path | None:
        """The git dir of the newest run, if nothing has been taken out of it yet."""
        found = [p for p in self._places.runs(task.id).glob("*/*/git") if find_git_dir(p) or p.is_dir()]
        newest = max(found, key=lambda p: (int(p.parts[-3]), int(p.parts[-2])), default=None)
        return newest if newest is not None and not (newest.parent / "collected.json").exists() else None


class _Bench:
    """Makes a run's result out of what came out of its box."""

    def __init__(
        self, repository: Repository, task: Task, ground: Ground, run: str, settings: WorkshopSettings, moment: str
    ) -> None:
        self._repository, self._task, self._ground, self._settings = repository, task, ground, settings
        self._run, self._moment = run, moment
        _, life, n = split_run(run)
        self._ref = f"refs/overnight/{task.id}/{life}.{n}"

    async def result(self, export: Export, start: str, whole: bool, odd: tuple[str, ...]) -> Result:
        """Commits what is uncommitted, sets the refs, the rescue first, and says what may not land."""
        repository, base = self._repository, self._ground.base
        refused = [*odd, *export.problems, *told(export.nested, "{} is a repository of its own and was left out")]
        commit = export.head or export.branch or start
        spare = list(export.tips)
        if export.tree is not None:
            dirty = export.tree != await repository.tree(commit)
            branch = export.branch
            if not dirty and branch is not None and branch != commit and await repository.holds(commit, branch):
                commit = branch  # it only looked at something older; its branch is its work
            elif dirty:
                problem = await self._too_much(commit, export.tree) if whole else None
                made = await self._commit(export.tree, [commit], "Work left uncommitted")
                if whole and problem is None:
                    commit = made
                else:
                    spare.insert(0, made)
                    refused += [problem] if problem else []
        if not await repository.holds(base, commit):
            refused.append(f"its history does not contain {base[:12]}, where the task started, so it can't land")
        changed = await changes(repository.plain, base, commit)
        refused += await refusals(repository.plain, changed)
        rescue = await self._keep_spare([tip for tip in spare if not await repository.holds(tip, commit)])
        await repository.set_ref(self._ref, commit, why=f"overnight: result of {self._run}")
        return Result(
            commit=commit,
            ref=self._ref,
            changed=tuple(path_text(change.path) for change in changed),
            rescue=rescue,
            refused=tuple(refused),
        )

    async def _too_much(self, commit: str, tree: str) -> str | None:
        """Why leftovers are too much to pass for work; None when they are not."""
        new = [change for change in await changes(self._repository.plain, commit, tree) if change.status == "A"]
        size = await _size(self._repository.plain, new)
        settings = self._settings
        if len(new) <= settings.leftover_files and size <= settings.leftover_bytes:
            return None
        return (
            f"{len(new)} new files ({size} bytes) were left uncommitted, more than {settings.leftover_files} files or "
            f"{settings.leftover_bytes} bytes: they were only rescued. Commit what belongs to the work, ignore the rest"
        )

    async def _commit(self, tree: str, parents: list[str], what: str) -> str:
        message = f"{what}: {one_line(self._task.title)}\n\nOvernight-Task: {self._task.id}\nOvernight-Run: {self._run}"
        return await commit_tree(self._repository.plain, tree, parents, message, self._moment)

    async def _keep_spare(self, spare: list[str]) -> str | None:
        """One ref for all commits that are not part of the result."""
        ref = f"{self._ref}-rescue"
        if not spare:
            await self._repository.drop_ref(ref)
            return None
        commit = spare[0]
        if len(spare) > 1:
            commit = await self._commit(await self._repository.tree(spare[0]), spare, "Also left behind")
        await self._repository.set_ref(ref, commit, why=f"overnight: rescue of {self._run}")
        return ref


def branch_name(task: Task) -> str:
    """The branch that a task's work is on, inside its box and, where a person may want it, outside."""
    return f"overnight/{task.id}"


async def commit_tree(git: Git, tree: str, parents: list[str], message: str, moment: str) -> str:
    """A commit by Overnight. moment: `EPOCH +0000`."""
    who = {
        "GIT_AUTHOR_NAME": NAME, "GIT_AUTHOR_EMAIL": EMAIL, "GIT_AUTHOR_DATE": moment,
        "GIT_COMMITTER_NAME": NAME, "GIT_COMMITTER_EMAIL": EMAIL, "GIT_COMMITTER_DATE": moment,
    }  # fmt: skip
    flags = [word for parent in parents for word in ("-p", parent)]
    return (await git.run("commit-tree", tree, *flags, stdin=message.encode(), env=who)).decode().strip()


async def fill(repository: Repository, tree: Path, index: Path, commit: str) -> None:
    """Write a commit's files into a folder, and an index that knows them."""
    await repository.plain.on(tree, {"GIT_INDEX_FILE": str(index)}).run("read-tree", "--reset", "-u", commit)


async def policy_on_target(repo: Repo, places: Places) -> bytes | None:
    """The content of a repo's policy as its target branch has it now. Raises Held(repo-unavailable)."""
    repository = await open_repository(repo, places)
    return await file_at(repository.plain, await repository.target(), POLICY_FILE)


async def file_at(git: Git, commit: str, name: str) -> bytes | None:
    """A file at the root of a commit; None when there is none by that name or it is a link or a folder."""
    listed = await git.run("ls-tree", "-z", commit, "--", name)
    if not listed.startswith(b"100"):
        return None
    return await git.run("cat-file", "blob", listed.split(b"\t")[0].split(b" ")[2].decode())


async def text_at(git: Git, commit: str, path: str) -> str | None:
    """A text file of a commit; None when there is none, or it is none, or it is very large."""
    listed = await git.run("ls-tree", "-z", "--long", commit, "--", path)
    words = listed.split(b"\t")[0].split()
    if not listed.startswith(b"100") or not words[3].isdigit() or int(words[3]) > _POLICY_MOST:
        return None
    try:
        return (await git.run("cat-file", "blob", words[2].decode())).decode()
    except UnicodeDecodeError:
        return None


async def _size(git: Git, new: list[Change]) -> int:
    ids = "".join(f"{change.id}\n" for change in new if change.mode != b"160000").encode()
    sizes = await git.run("cat-file", "--batch-check=%(objectsize)", stdin=ids)
    try:
        return sum(int(line) for line in sizes.split())
    except ValueError:
        raise GitFailed(command="cat-file --batch-check", code=0, stderr="an object is missing") from None
