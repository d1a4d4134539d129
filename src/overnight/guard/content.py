"""Classes of content: files whose text runs when something else is run."""

from __future__ import annotations

import re

import msgspec

from overnight.guard.effects import Write
from overnight.guard.judgement import Finding, denied
from overnight.guard.policy import GuardPolicy
from overnight.guard.text import NETWORK
from overnight.guard.world import Bounds

_LIFECYCLE = (
    "preinstall",
    "install",
    "postinstall",
    "prepare",
    "prepublish",
    "preprepare",
    "postprepare",
    "prepack",
    "postpack",
)
#: Python files that run when Python or its tools merely start.
_PYTHON = frozenset({"conftest.py", "setup.py", "sitecustomize.py", "usercustomize.py"})
_KEY = re.compile(
    r"-----BEGIN (?:[A-Z ]+ )?PRIVATE KEY-----|\b(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36,}|\bsk-ant-[\w-]{20,}|\bxox[abpr]-[\w-]{10,}"
    r"|\bglpat-[\w-]{20,}|\bAIza[\w-]{35}\b|\bsk_live_[A-Za-z0-9]{20,}|\bnpm_[A-Za-z0-9]{36}\b"
)


class _Manifest(msgspec.Struct):
    """The part of package.json that runs."""

    scripts: dict[str, str] = {}


def has_secret(text: str, patterns: tuple[str, ...] = ()) -> bool:
    """True when the text holds what looks like a live credential. patterns: further regular expressions."""
    return bool(_KEY.search(text)) or any(re.search(pattern, text) for pattern in patterns)


def runnable(path: str, text: str) -> list[tuple[str, str]]:
    """(what, code) that the file's text makes others run without being asked to: shell code, or Python for `.py`."""
    name = path.rpartition("/")[2]
    if name == "package.json":
        return _package_scripts(text)
    return [(name, text)] if name in _PYTHON else []


def manifest_scripts(text: str) -> dict[str, str] | None:
    """The scripts of a package.json, or None when it can't be read."""
    try:
        return msgspec.json.decode(str(text), type=_Manifest).scripts
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return None


def _package_scripts(text: str) -> list[tuple[str, str]]:
    scripts = manifest_scripts(text) or {}
    return [(f"package.json {name}", code) for name, code in scripts.items() if name in _LIFECYCLE]


def hidden_danger(effect: Write, bounds: Bounds, policy: GuardPolicy) -> Finding | None:
    """What speaks against this text in this place."""
    del bounds
    if effect.text is not None and len(effect.text) < 200_000 and has_secret(effect.text, policy.secret_patterns):
        return denied("content.secret", f"{effect.path} would hold a credential in the clear", effect.words)
    if effect.taint & NETWORK and re.search(
        r"(?:^|/)(?:conftest\.py|setup\.py|package\.json|Makefile|sitecustomize\.py|[\w.-]*\.pth)$", effect.path
    ):
        return denied("content.remote-code", f"{effect.path} would be code from the network", effect.words)
    return None
