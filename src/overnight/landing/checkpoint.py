"""Work that is under way, in a ref: what a warden makes while its agent waits, for the case that what comes next goes wrong."""

from __future__ import annotations

import time
from pathlib import Path

from overnight.errors import GitFailed
from overnight.landing.export import Exporter, ExportSettings
from overnight.landing.places import Places
from overnight.landing.repository import open_repository
from overnight.landing.worktree import branch_name, commit_tree
from overnight.landing.worktree_notes import registered
from overnight.missions.places import split_run
from overnight.missions.run import RunSpec
from overnight.missions.task import Repo, Task
from overnight.ports import Box


class Checkpoints:
    """Puts one run's work tree and commits into `refs/overnight/TASK/LIFE.N-checkpoint`.

    The newest holds the ones before it in its history. Work and git dir are read in a box, as at the end of a run; the
    agent's own git dir is only asked for commits.
    """

    def __init__(self, folder: Path, spec: RunSpec, box: Box) -> None:
        """folder: for this alone; a warden must not tidy up in the daemon's."""
        self._spec = spec
        self._places = Places(folder)
        self._exporter = Exporter(self._places, box, ExportSettings())

    async def make(self) -> str:
        """The ref, once it is there. A tree that it holds already is not committed again.

        Raises GitFailed, Held, OSError.
        """
        spec, places = self._spec, self._places
        places.state.mkdir(mode=0o700, exist_ok=True)
        repository = await open_repository(Repo(name=spec.repo, path=spec.repository, target=""), places)
        task = Task(id=spec.task, repo=repository.repo, title="", text="")
        tree = Path(spec.worktree)
        export = await self._exporter.export(
            repository, work_tree=tree, agent=Path(spec.git_dir), branch=branch_name(task), start=spec.start,
            known=(spec.start,), index=(registered(repository, tree) or tree) / "index", folder=places.scratch("work"),
        )  # fmt: skip
        if export.tree is None:
            raise GitFailed(command="export", code="failed", stderr="; ".join(export.problems))
        _, life, n = split_run(spec.id)
        ref = f"refs/overnight/{spec.task}/{life}.{n}-checkpoint"
        old = await repository.commit(ref)
        head = export.head or export.branch or spec.start
        if old is None or await repository.tree(old) != export.tree or not await repository.holds(head, old):
            parents = [head, *export.tips, *([old] if old is not None and old != head else [])]
            message = f"Work under way\n\nOvernight-Task: {spec.task}\nOvernight-Run: {spec.id}"
            commit = await commit_tree(repository.plain, export.tree, parents, message, f"{int(time.time())} +0000")
            await repository.set_ref(ref, commit, why=f"overnight: checkpoint of {spec.id}")
        if export.guard is not None:
            export.guard.unlink(missing_ok=True)
        places.discard(places.scratch("work"))
        return ref
