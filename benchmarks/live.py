"""How long it takes from a commit in the journal until a person sees it on an open page, in this machine's Chromium.

    python -m benchmarks.live [ROUNDS]

A real browser holds the Now page open; this process puts tasks on the queue. Timed is from before the commit to the
first change of the page that holds the task's title, both by this machine's clock.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from subprocess import DEVNULL, Popen

from playwright.sync_api import Page, sync_playwright

from benchmarks.table import row
from overnight.api.access import Access
from overnight.durable.client import Client
from overnight.missions.codec import builtins
from overnight.missions.task import Phase, Repo, Task
from overnight.web_process import served

_WATCH = """title => new Promise(seen => {
  const look = () => document.querySelector('#live')?.textContent.includes(title) && (changes.disconnect(), seen(Date.now()));
  const changes = new MutationObserver(look);
  changes.observe(document.querySelector('#live'), {childList: true, subtree: true, characterData: true});
  window.watching = title;
})"""


def delays(page: Page, home: Path, rounds: int) -> list[float]:
    """Milliseconds of each round. page: the Now page, open; home: the state folder that it shows, without a daemon."""
    found = list[float]()
    for n in range(rounds):
        title = f"Round {n} of {os.getpid()}"
        page.evaluate(f"window.shown = ({_WATCH})({title!r}); null")
        page.wait_for_function("title => window.watching === title", arg=title)
        began = time.time()
        task = Task(id=f"live-{n}", repo=Repo(name="r", path="/r", target="main"), title=title, text="x", priority=n)
        Client(home).call(
            "submit", id=task.id, flow="task", lane="r", input=builtins(task), phase=Phase.QUEUED, pool="work",
            priority=n,
        )  # fmt: skip
        found.append(float(page.evaluate("window.shown")) - began * 1000)
    return found


def main(rounds: int = 30) -> None:
    """Print what was measured."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "state"
        home.mkdir()
        env = {"PATH": "/usr/bin:/bin", "HOME": name, "OVERNIGHT_HOME": str(home), "LANG": "C.UTF-8"}
        server = Popen([sys.executable, "-P", "-m", "overnight", "web", "--port", "0"], env=env, stdout=DEVNULL)
        try:
            while (at := served(home)) is None:
                if server.poll() is not None:
                    raise RuntimeError("the server ended")
                time.sleep(0.05)
            row("a commit until it is seen on an open page", _seen(at.url, home, rounds), "ms", "<= 1000 ms")
        finally:
            server.terminate()
            server.wait()


def _seen(url: str, home: Path, rounds: int) -> list[float]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if path is None:
        return []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            page = browser.new_page()
            page.goto(f"{url}/login?code={Access(home, 60.0).code()}")
            page.get_by_role("button", name="Log in here").click()
            page.locator("#live").wait_for()
            return delays(page, home, rounds)
        finally:
            browser.close()


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
