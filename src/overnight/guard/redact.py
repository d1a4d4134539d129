"""Secrets out of texts, and texts made harmless: for everything that leaves a run's folder.

Three ways to know a secret: its value is known; its shape is one that vendors give to keys; or it stands where secrets
stand (after `password=`, in a URL, in a header) and looks like one. Hashes, UUIDs and code are left as they are. An
agent that wants to hide a secret can: it may encode it. This is for what gets out by carelessness.
"""

from __future__ import annotations

import base64
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

MARK = "[redacted]"
#: Known values shorter than this are too likely to be words. So much of the beginning of one is enough to redact it.
_SHORTEST, _BEGINNING = 8, 16


class RedactSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is a secret here, besides what everybody's secrets look like."""

    #: Regular expressions; what they match is taken out of everything that is kept or shown of a run.
    patterns: tuple[str, ...] = ()


# -- harmless -----------------------------------------------------------------------------------------------

_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]P^_X]|[\x9d\x90\x9e\x9f\x98])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?"
)
#: Control characters but tab and line feed, what reorders or hides text, what some readers take for a line's end.
_UNFIT = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_HALVES = re.compile(r"[\ud800-\udfff]")


def sanitised(text: str) -> str:
    """Without terminal escapes, control characters, and characters that hide or reorder text. Lines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _HALVES.sub("\N{REPLACEMENT CHARACTER}", _UNFIT.sub("", text))


# -- shapes -------------------------------------------------------------------------------------------------

_VENDORS = (
    r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    r"gh[pousr]_[A-Za-z0-9]{20,}",
    r"github_pat_\w{22,}",
    r"sk-ant-[\w-]{16,}",
    r"sk-or-v1-[0-9a-f]{32,}",
    r"sk-(?:proj|svcacct|admin)-[\w-]{20,}",
    r"sk-[A-Za-z0-9]{32,}",
    r"xox[abeoprs]-[\w-]{10,}",
    r"xapp-\d-[\w-]{20,}",
    r"(?:glpat|gldt|glrt|glcbt|glptt|glsoat|glagent)-[\w-]{20,}",
    r"AIza[\w-]{35}",
    r"ya29\.[\w-]{20,}",
    r"GOCSPX-[\w-]{20,}",
    r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",
    r"whsec_[A-Za-z0-9+/]{20,}",
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-AgE[\w-]{40,}",
    r"do[opr]_v1_[0-9a-f]{64}",
    r"hf_[A-Za-z0-9]{30,}",
    r"gsk_[A-Za-z0-9]{40,}",
    r"xai-[A-Za-z0-9]{40,}",
    r"pplx-[A-Za-z0-9]{40,}",
    r"r8_[A-Za-z0-9]{37}",
    r"SG\.[\w-]{16,}\.[\w-]{16,}",
    r"SK[0-9a-f]{32}(?![0-9a-f])",
    r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    r"dckr_pat_[\w-]{20,}",
    r"lin_api_[A-Za-z0-9]{40}",
    r"rubygems_[0-9a-f]{48}",
    r"glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}",
    r"sntry[su]_[\w+/=]{40,}",
    r"tskey-[a-z]+-\w{8,}-\w{16,}",
    r"hv[sb]\.[\w-]{24,}",
    r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
    r"\d{8,10}:AA[\w-]{33}",
    r"eyJ[\w-]{10,}\.eyJ[\w-]{8,}\.[\w-]*",
    # Cut off in the middle.
    r"(?:AKIA|ASIA|gh[pousr]_|github_pat_|sk-ant-|sk-proj-|xox[abeoprs]-|glpat-|AIza|npm_|pypi-AgE|[sr]k_live_)[\w-]*(?=\s?…)",
)  # fmt: skip
_VENDOR = re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(_VENDORS)})")
_BREAK = r"(?:\s|\\[nr])"
_PEM = re.compile(
    r"(?P<begin>-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)"
    r"(?:(?:[^\"'`<>\[-]|-(?!----)){16,20000}(?=-----END )"
    rf"|(?:{_BREAK}|[\w-]{{1,40}}: [^\n\\]*(?=[\n\\]))*[A-Za-z0-9+/=]{{16,}}(?:{_BREAK}+[A-Za-z0-9+/=]{{16,}})*(?:{_BREAK}+[A-Za-z0-9+/=]+\Z)?)"
)
_HOOK = re.compile(r"(hooks\.slack\.com/services/|discord(?:app)?\.com/api/webhooks/)[\w/-]{10,}")

# -- places -------------------------------------------------------------------------------------------------

_URL = re.compile(
    r"(?P<head>\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>]{0,200}:)(?P<value>[^\s/@\"'<>]{3,500})(?=@)", re.IGNORECASE
)
_URL_USER = re.compile(r"(?P<head>\bhttps?://)(?P<value>[\w.~%+-]{16,500})(?=@)", re.IGNORECASE)
_HEADER = re.compile(
    r"(?P<head>\b(?:proxy-)?authorization(?:\\?[\"'])?\s*[:=]\s*(?:\\?[\"'])?(?:(?:bearer|basic|token|digest|apikey)\s+)?)"
    r"(?P<value>[A-Za-z0-9._~+/=-]{8,})|(?P<head2>\bbearer\s+)(?P<value2>[A-Za-z0-9._~+/=-]{16,})",
    re.IGNORECASE,
)
_NAMES = r"secret|token|password|passwd|passphrase|pwd|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|auth[_-]?key|account[_-]?key|signing[_-]?key|encryption[_-]?key|master[_-]?key|credentials?|_auth|key"
_ASSIGNED = re.compile(
    rf"(?P<name>(?<![A-Za-z0-9_.-])[A-Za-z0-9_.-]{{0,80}}?(?:{_NAMES})(?:_?\d)?)"
    r"(?P<sep>(?:\\?[\"'])?\s{0,3}(?:=>|:=|=(?!=)|:(?!:)|\s(?=--)|(?<=[a-z])\s)\s{0,3})"
    r"(?P<value>\\?\"[^\"\n\\]{4,400}|\\?'[^'\n\\]{4,400}|[^\s\"'`,;(){}\[\]<>\\|&#]{6,400})",
    re.IGNORECASE,
)
#: What stands for a secret in examples and in code, and is none.
_STANDS_FOR = re.compile(
    r"^[$<{%*]|\*{3}|^(?:x{3,}|\.{3}|-+)|your|example|changeme|placeholder|redacted|dummy|process\.env|environ|getenv|^(?:none|null|true|false|undefined|password|passwd|pass|pwd|pw|secret|token|user|test)$",
    re.IGNORECASE,
)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_STRONG = re.compile(
    r"(?:password|passwd|passphrase|secret|pwd|private[_-]?key|secret[_-]?key)(?:_?\d)?$", re.IGNORECASE
)
_ENVIRONMENT = re.compile(r"[A-Z][A-Z0-9_]*")


class Redactor:
    """Takes secrets out of texts: `redactor(text)`."""

    def __init__(self, known: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        """known: values of secrets. patterns: further regular expressions. Raises re.error."""
        self._known = sorted({form for value in known for form in _forms(value)}, key=len, reverse=True)
        self._extra = [re.compile(pattern) for pattern in patterns]

    def __call__(self, text: str) -> str:
        """The text with `[redacted]` for every secret that is recognised."""
        for value in self._known:
            text = _without(text, value)
        for pattern in self._extra:
            text = pattern.sub(MARK, text)
        return _by_place(_by_shape(text))


redacted = Redactor()
"""What everybody's secrets look like; no values known."""


def known_secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The values in an environment that its names call secrets."""
    return tuple(
        value
        for name, value in environ.items()
        if re.search(rf"(?:{_NAMES})(?:_?\d)?$", name, re.IGNORECASE) and not value.startswith(("/", "~", "."))
    )


def _forms(value: str) -> list[str]:
    """A secret as it is, and as it stands in URLs and in base64."""
    if len(value) < _SHORTEST:
        return []
    data = value.encode(errors="replace")
    quoted = "".join(chr(byte) if chr(byte).isalnum() or chr(byte) in "-._~" else f"%{byte:02X}" for byte in data)
    return [value, quoted, base64.b64encode(data).decode().rstrip("="), data.hex()]


def _without(text: str, value: str) -> str:
    """Without a value, also where only its beginning is left."""
    beginning, at = value[:_BEGINNING], 0
    while (at := text.find(beginning, at)) >= 0:
        end = at + len(beginning)
        while end - at < len(value) and end < len(text) and text[end] == value[end - at]:
            end += 1
        text = text[:at] + MARK + text[end:]
        at += len(MARK)
    return text


def _by_shape(text: str) -> str:
    text = _VENDOR.sub(MARK, text)
    if "-----BEGIN" in text:
        text = _PEM.sub(rf"\g<begin> {MARK} ", text)
    return _HOOK.sub(rf"\1{MARK}", text)


def _by_place(text: str) -> str:
    if "://" in text:
        text = _URL_USER.sub(_url_user, _URL.sub(_unless_stands_for, text))
    text = _HEADER.sub(_header, text)
    return _ASSIGNED.sub(_assigned, text)


def _unless_stands_for(match: re.Match[str]) -> str:
    return match[0] if _STANDS_FOR.search(match["value"]) else match["head"] + MARK


def _url_user(match: re.Match[str]) -> str:
    return match["head"] + MARK if _mixed(match["value"]) else match[0]


def _header(match: re.Match[str]) -> str:
    head, value = match["head"] or match["head2"], match["value"] or match["value2"]
    if _STANDS_FOR.search(value) or not any(c.isdigit() for c in value):
        return match[0]
    return head + MARK


def _assigned(match: re.Match[str]) -> str:
    name, sep, found = match["name"], match["sep"], match["value"]
    quote = re.match(r"\\?[\"']?", found)
    assert quote is not None
    value = found[quote.end() :]
    if _secret(name, sep, value, bool(quote[0])):
        return name + sep + quote[0] + MARK
    return match[0]


def _secret(name: str, sep: str, value: str, quoted: bool) -> bool:
    if len(value) < 4 or MARK in value or value.isspace() or "public" in name.lower():
        return False
    if _STANDS_FOR.search(value) and not _random(value):
        return False
    environment = _ENVIRONMENT.fullmatch(name) is not None and sep == "="
    strong = _STRONG.search(name) is not None
    if strong and (environment or (quoted and not value.isalpha() and " " not in value)):
        return not _code(value) or environment
    if sep.isspace() or len(value) < 8:
        # `--token VALUE`: only what can't be a word.
        return name.startswith("--") and len(value) >= 8 and _mixed(value)
    if re.search(r"(?:^|[^a-z])key$|[a-z]Key$", name, re.IGNORECASE) and not re.search(
        r"(?:api|access|secret|private|auth|account|signing|encryption|master)[_-]?key$", name, re.IGNORECASE
    ):
        return _random(value)
    return (_mixed(value) and (environment or not _code(value))) or _random(value)


def _mixed(value: str) -> bool:
    """Letters and digits, and not as words have them."""
    letters, digits = sum(c.isalpha() for c in value), sum(c.isdigit() for c in value)
    return letters >= 2 and digits >= 2 and _entropy(value) >= 2.5


def _random(value: str) -> bool:
    """What no word, path, version, hash or public key looks like."""
    if (
        len(value) < 24
        or value.startswith(("AAAA", "sha"))
        or _UUID.search(value)
        or not re.fullmatch(r"[\w+/=-]+", value)
    ):
        return False
    kinds = (any(c.isupper() for c in value), any(c.islower() for c in value), any(c.isdigit() for c in value))
    return all(kinds) and value.count("-") <= 2 and value.count("/") <= 3 and _entropy(value) >= 4.0


def _code(value: str) -> bool:
    """A name, a path, a version, a call: what stands on the right of `=` in a program."""
    return re.fullmatch(r"[A-Za-z_][\w]*(?:[.:/-]+[A-Za-z_]*\w{0,12})*", value) is not None and (
        not any(c.isdigit() for c in value) or (value.count(".") + value.count("_") >= 1 and len(value) < 20)
    )


def _entropy(value: str) -> float:
    """Bits for each character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())
