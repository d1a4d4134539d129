"""What is wrong with `[judges.NAME]` beyond the form of its values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from overnight.config.shape import Problem, show
from overnight.judges.settings import MOST_JUDGES, VENDORS, JudgeSettings, Kind, family_of, key_variable_of, maker_of

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def judge_rules(judges: Mapping[str, JudgeSettings]) -> Iterator[Problem]:
    """Problems of the judges."""
    if len(judges) > MOST_JUDGES:
        yield Problem(("judges",), f"there are {len(judges)} judges; a machine may have {MOST_JUDGES}", value=False)
    for name, judge in judges.items():
        if not _NAME.fullmatch(name):
            text = f"{show(name)} is no name of a judge: up to 40 lower-case letters, digits and dashes"
            yield Problem(("judges", name), text, value=False)
        yield from _judge(f"judges.{name}", ("judges", name), judge)


def _judge(what: str, path: tuple[str, ...], judge: JudgeSettings) -> Iterator[Problem]:
    maker, family = maker_of(judge.model), family_of(judge)
    if judge.kind is Kind.CLAUDE:
        yield from _set_elsewhere(what, path, judge)
    elif not judge.model:
        yield Problem(path, f"`{what}` needs `model`: the model, as the vendor calls it", value=False)
    if not family:
        yield Problem(path, f"`{what}` needs `family`: who made {show(judge.model)}", value=False)
    if judge.family is not None and maker and family != maker:
        text = f"{show(judge.model)} is of the family {show(maker)}, whoever serves it, not {show(judge.family)}"
        yield Problem((*path, "family"), text)
    if judge.key_variable is not None and not _VARIABLE.fullmatch(judge.key_variable):
        text = f"`{what}.key_variable` names an environment variable, such as MY_API_KEY; the key itself stays out of files"
        yield Problem((*path, "key_variable"), text)
    if judge.kind is Kind.COMPATIBLE and not key_variable_of(judge):
        yield Problem(path, f"`{what}` needs `key_variable`: the environment variable that holds its key", value=False)
    address = judge.address or VENDORS[judge.kind].address
    if not address:
        yield Problem(path, f"`{what}` needs `address`: the base URL of its API", value=False)
    elif why := _unfit(address, own=judge.kind is Kind.LOCAL and not key_variable_of(judge)):
        yield Problem((*path, "address"), f"`{what}.address` {why}, not {show(address)}")


def _set_elsewhere(what: str, path: tuple[str, ...], judge: JudgeSettings) -> Iterator[Problem]:
    for key in ("address", "key_variable"):
        if getattr(judge, key) is not None:
            text = f"`{what}.{key}` is none of a judge of the kind `claude`: `[agents.claude]` says who is asked and who pays"
            yield Problem((*path, key), text)


def _unfit(address: str, *, own: bool) -> str:
    """Why nothing can be sent there; empty when it can. own: a server of one's own that gets no key."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return 'must be a URL such as "https://api.example.org/v1"'
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return 'must be a URL such as "https://api.example.org/v1"'
    if parts.username or parts.password or parts.query or parts.fragment:
        return "must be without a login, query or fragment"
    if parts.scheme == "http" and not own and not _here(parts.hostname):
        return "must begin with https://: a key and the evidence are sent there"
    return ""


def _here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
