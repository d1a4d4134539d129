"""The image for containers: a small Debian with git and Python, made of its own packages on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from overnight.boxes.settings import BoxSettings
from overnight.errors import BoxUnavailable

SUITE = "bookworm"
#: Besides the smallest Debian there is. More comes from the owner's `tools`, or an image of their own.
PACKAGES = ("ca-certificates", "curl", "git", "procps", "python3")


def archive(path: Path) -> None:
    """Write the image's files to a tar archive; takes about a minute. Raises BoxUnavailable."""
    if os.geteuid() != 0:
        raise BoxUnavailable(
            reason="only root can unpack a Debian",
            install="Make the archive with `sudo overnight box image --tar FILE`, then use it as yourself.",
        )
    if shutil.which("debootstrap") is None:
        raise BoxUnavailable(reason="debootstrap is not installed", install="`apt install debootstrap`.")
    with tempfile.TemporaryDirectory(prefix="overnight-image-") as root:
        _run(("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, root))
        making = path.with_name(f"{path.name}.making")
        path.parent.mkdir(parents=True, exist_ok=True)
        left_out = [f"--exclude=./{name}/*" for name in ("var/cache/apt", "var/lib/apt/lists", "dev", "proc", "sys")]
        _run(("tar", "--create", "--numeric-owner", *left_out, "--file", str(making), "--directory", root, "."))
        making.replace(path)


def load(path: Path, settings: BoxSettings) -> None:
    """Give an archive to the engine as the image of the settings. Raises BoxUnavailable."""
    if shutil.which(settings.engine) is None:
        raise BoxUnavailable(
            reason=f"{settings.engine} is not installed", install="Install it, or name another `engine` in [box]."
        )
    _run((settings.engine, *settings.engine_options, "import", str(path), settings.image))


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise BoxUnavailable(reason=f"{argv[0]} says: {said}", install=f"Mend what {argv[0]} says, then try again.")
