"""The process that serves pages and API: `python -m overnight.web_process`, kept by the daemon, or `overnight web`.

It only reads, and asks the daemon for all else. So it stands in nobody's way: a slow viewer never stalls the engine,
and it goes on when the daemon is dead, and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from functools import lru_cache
from pathlib import Path

import msgspec

from overnight.api.access import FOLDER
from overnight.api.settings import WebSettings
from overnight.api.shapes import LevelRow
from overnight.api.site import Machine, Site
from overnight.config import POLICY_FILE, Settings, bound, read_policy, read_settings, state_home
from overnight.durable.identity import Identity, identify, is_alive
from overnight.errors import AlreadyServed, BadInput, CannotListen, OvernightError, PolicyMissing, RepositoryGone
from overnight.guard.policy import GuardPolicy, Layers
from overnight.guard.redact import Redactor, known_secrets
from overnight.landing.git import Git
from overnight.landing.repository import common_dir, find_git_dir
from overnight.missions.clarify import show_questions
from overnight.missions.policy import LandingMode, Policy
from overnight.missions.task import Repo, Task
from overnight.service.logs import LogRules
from overnight.service.logs import kept as logged

#: A server that was asked to make room does so within this time.
MAKES_ROOM_S = 10.0
#: How long one thread may keep the others waiting. A page asks SQLite some two hundred times and takes its turn anew after
#: each: while something else is being added up, it takes longer by so many times this.
SWITCH_S = 0.0001
#: Connections at the same time; more are told to come again.
MOST_CONNECTIONS = 400
#: Texts whose redacted form is remembered: pages show the same ones again and again.
_REMEMBERED, _SHORT = 20_000, 4000


class Served(msgspec.Struct, frozen=True):
    """Who serves, as `web/server.json` says."""

    who: Identity
    #: Where: `http://127.0.0.1:8477`.
    url: str
    #: Kept by a daemon: the next one may end it and take its place.
    kept: bool


def main() -> None:
    """As the daemon's child."""
    settings = read_settings()
    home = state_home(settings)
    try:
        with logged(home / "web.log", LogRules.of(settings.logs)):
            run(settings, home, kept=True)
    except OvernightError as error:
        print(f"overnight: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def run(settings: Settings, home: Path, *, kept: bool = False, ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. ready is told where. Raises AlreadyServed, CannotListen, StateNotWritable."""
    with _alone(home, kept):
        link = listen(settings.web)
        with contextlib.closing(link):
            url = url_of(settings.web, link)
            _write(home, Served(identify(), url, kept))
            sys.setswitchinterval(SWITCH_S)
            asyncio.run(_tended(serve(machine_of(settings, home), link, lambda _end: (ready or print)(url))))


async def _tended(serving: Awaitable[None]) -> None:
    """Serve with short pauses for collecting garbage."""
    from overnight.api.garbage import Heap

    tending = asyncio.create_task(Heap().tend())
    try:
        await serving
    finally:
        tending.cancel()


async def serve(machine: Machine, link: socket.socket, ready: Callable[[Callable[[], None]], object]) -> None:
    """Serve on a listening socket, until a signal, or until what `ready` is given is called."""
    import uvicorn

    from overnight.api.app import application
    from overnight.api.wire import Protocol, Server
    from overnight.dashboard.pages import routes

    site = Site(machine)
    app = application(site, lambda busy: routes(site, busy))
    config = uvicorn.Config(
        app, http=Protocol, ws="none", lifespan="off", access_log=False, log_level="warning", server_header=False,
        date_header=True, limit_concurrency=MOST_CONNECTIONS, timeout_keep_alive=20, timeout_graceful_shutdown=1,
        proxy_headers=False, backlog=256,
    )  # fmt: skip
    server = Server(config, site, ready)
    site.start()
    try:
        await server.serve([link])
    finally:
        site.stop()


# -- where --------------------------------------------------------------------------------------------------


def listen(web: WebSettings) -> socket.socket:
    """A listening socket. Raises CannotListen."""
    import ipaddress

    try:
        family = socket.AF_INET6 if ipaddress.ip_address(web.address).version == 6 else socket.AF_INET
    except ValueError:
        raise CannotListen(address=web.address, port=web.port, reason="that is no IP address") from None
    # Named, since only then asyncio sends small parts of an answer at once (TCP_NODELAY).
    link = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        link.bind((web.address, web.port))
        link.listen(256)
    except OSError as error:
        link.close()
        raise CannotListen(address=web.address, port=web.port, reason=error.strerror or error) from error
    link.setblocking(False)
    return link


def url_of(web: WebSettings, link: socket.socket) -> str:
    """Where a person's browser finds it."""
    port = link.getsockname()[1]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(web.address, web.address)  # noqa: S104 (only compared)
    return f"http://{f'[{name}]' if ':' in name and not name.startswith('[') else name}:{port}"


def served(home: Path) -> Served | None:
    """Who serves this state folder now; None when nobody does."""
    try:
        found = msgspec.json.decode((home / FOLDER / "server.json").read_bytes(), type=Served)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if is_alive(found.who) else None


def _write(home: Path, who: Served) -> None:
    path = home / FOLDER / "server.json"
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(who))
    part.chmod(0o600)
    part.replace(path)


@contextlib.contextmanager
def _alone(home: Path, kept: bool) -> Generator[None]:
    """One server for a state folder. A daemon's new one takes the place of an old daemon's. Raises AlreadyServed."""
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + MAKES_ROOM_S
        asked = False
        while not _locked(fd):
            other = served(home)
            if other is not None and not (kept and other.kept):
                raise AlreadyServed(url=other.url, pid=other.who.pid)
            if other is not None and not asked:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(other.who.pid, signal.SIGTERM)
                asked = True
            if time.monotonic() > until:
                raise AlreadyServed(url="somewhere", pid=other.who.pid if other else "unknown")
            time.sleep(0.05)
        yield
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# -- what is known ------------------------------------------------------------------------------------------


def machine_of(settings: Settings, home: Path) -> Machine:
    """What pages and API need to know of these settings."""
    hooks = os.environ.get(settings.forge.webhook_variable, "")
    redactor = Redactor((*known_secrets(os.environ), *filter(None, (hooks,))), settings.redact.patterns)
    remembered = lru_cache(_REMEMBERED)(redactor)

    def redact(text: str) -> str:
        return remembered(text) if len(text) <= _SHORT else redactor(text)

    def admit(repo: Repo, task: Task) -> str:
        from overnight.flows.task import ask_about

        policy = bound(policy_of(repo), settings).policy
        if task.landing is LandingMode.MERGE and not policy.checks:
            problem = "Landing by merge needs at least one check in overnight.toml: nothing else would prove it."
            raise BadInput(problem=problem)
        questions = ask_about(task, policy.clarify).questions
        return show_questions(questions) if questions else ""

    def layers(worktree: str) -> Layers:
        user = settings.guard.tables(False)
        base = GuardPolicy()
        git_dir = find_git_dir(Path(worktree))
        if git_dir is None:
            return Layers(base=base, user=user)
        from overnight.report.status import repos

        known = next((each for each in repos(home) if os.path.realpath(each.path) == worktree), None)
        if known is None:
            return Layers(base=base, user=user)
        policy = bound(policy_of(known), settings).policy
        return Layers(
            base=base, user=user, repo=policy.guard, sensitive=policy.paths.sensitive, reach=policy.box.egress
        )  # fmt: skip

    def levels(repo: Repo) -> tuple[LevelRow, ...]:
        from overnight.judge.autonomy import Fate
        from overnight.judge.routing import Kind
        from overnight.wiring import examiner_for

        policy = bound(policy_of(repo), settings).policy.autonomy
        examiner, rows = examiner_for(settings, home, redactor), list[LevelRow]()
        for kind in Kind:
            stands, fates = asyncio.run(examiner.level(repo, kind, policy))
            numbers = {fate.value: fates.count(fate) for fate in Fate}
            rows.append(LevelRow(repo=repo.name, kind=kind, level=stands.level, why=stands.why, **numbers))
        return tuple(rows)

    return Machine(
        home=home, web=settings.web, people=settings.people, ceilings=settings.limits.window, budget=settings.budget, usage=settings.usage, night_ends=settings.report.at,
        prices=settings.prices, webhook_secret=hooks, hidden=(settings.forge.token_variable, settings.forge.webhook_variable),
        report=settings.report, notify=settings.notify, levels=levels, redact=redact, admit=admit, layers=layers,
    )  # fmt: skip


def policy_of(repo: Repo) -> Policy:
    """The policy on a repo's target branch. Raises RepositoryGone, PolicyMissing, PolicyInvalid, BadInput."""
    git_dir = find_git_dir(Path(repo.path))
    if git_dir is None:
        raise RepositoryGone(path=repo.path, name=repo.name)
    return asyncio.run(_policy(Git(common_dir(git_dir)), repo))


async def _policy(git: Git, repo: Repo) -> Policy:
    where = f"refs/heads/{repo.target}:{POLICY_FILE}"
    if await git.ask("cat-file", "-e", where) is None:
        raise PolicyMissing(target=repo.target, path=repo.path)
    return read_policy(await git.run("cat-file", "blob", where), f"{POLICY_FILE} on {repo.target}")


if __name__ == "__main__":
    main()
