"""The brief as Markdown and as a page of its own. Everything that is not ours is made harmless on its way in."""

from __future__ import annotations

import re
from html import escape

from overnight.guard.redact import sanitised
from overnight.report.brief import Brief
from overnight.report.brief_words import Document, Item, Kind, Line, Span, document

#: What Markdown takes for more than a character anywhere, and what it does at the beginning of a line.
_MARKS = re.compile(r"([\\`*_\[\]<>~&|])")
_BEGINNING = re.compile(r"^(\s*)([-+#=]|\d+(?=[.)]))")


def markdown(brief: Brief) -> str:
    """As Markdown: headings, lists, no HTML."""
    found = document(brief)
    parts = [f"# {_text(found.title)}", f"{_text(found.about)}", _line(found.lead)]
    for section in found.sections:
        lines = [line for item in section.items for line in _listed(item)]
        parts.append("\n".join((f"## {_text(section.title)}", "", *lines)))
    return "\n\n".join(parts) + "\n"


def _listed(item: Item) -> list[str]:
    return [f"- {_line(item.head)}", *(f"  - {_line(line)}" for line in item.more)]


def _line(line: Line) -> str:
    return "".join(map(_span, line)).strip()


def _span(span: Span) -> str:
    text = " ".join(sanitised(span.text).split("\n"))
    if span.link and _address(span.link):
        return f"[{_text(text)}](<{span.link}>)"
    match span.kind:
        case "code":
            return _code(text)
        case "quote":  # as code: no link, no name that is called, no markup comes to life in it
            return f"“{_code(text)}”" if text else "“”"
        case "strong" | "good" | "bad" | "asks":
            inner = text.strip()
            return text.replace(inner, f"**{_text(inner)}**", 1) if inner and _bold(inner) else _text(text)
        case _:
            return _text(text)


def _bold(text: str) -> bool:
    """Marks of emphasis only work around letters and digits."""
    return text[0].isalnum() and (text[-1].isalnum() or text[-1] in ".")


def _text(text: str) -> str:
    escaped = _MARKS.sub(r"\\\1", text)
    return _BEGINNING.sub(_at_the_beginning, escaped)


def _at_the_beginning(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}\\" if match[2].isdigit() else f"{match[1]}\\{match[2]}"


def _code(text: str) -> str:
    """Between backquotes, more of them than stand in a row inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    pad = " " if text.startswith("`") or text.endswith("`") or longest else ""
    fence = "`" * (longest + 1)
    return f"{fence}{pad}{text}{pad}{fence}"


def _address(link: str) -> bool:
    return re.fullmatch(r"https?://[^\s<>\"\\]+", link) is not None


# -- a page -------------------------------------------------------------------------------------------------

#: Nothing is loaded and nothing runs, whatever may stand in it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root{color-scheme:light dark;--ink:#1d2733;--dim:#5b6775;--paper:#fff;--line:#e3e8ee;--soft:#f4f6f9;--good:#15703c;--bad:#b3261e;--asks:#8a5a00}
@media (prefers-color-scheme:dark){:root{--ink:#e6ebf1;--dim:#9aa7b5;--paper:#12171d;--line:#27303a;--soft:#1a2129;--good:#5bd08a;--bad:#ff8a80;--asks:#f2b84b}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:44rem;padding:1.25rem 1rem 3rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.4rem;line-height:1.25;margin:0}
h2{font-size:1rem;margin:2rem 0 .5rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}
p.about{margin:.25rem 0 1rem;color:var(--dim)}
p.lead{font-size:1.15rem;margin:0;padding:.75rem 1rem;border-radius:.5rem;background:var(--soft)}
ul{list-style:none;margin:0;padding:0}
li{margin:.6rem 0}
li>div{padding-left:1rem;color:var(--ink)}
code{font:.88em/1.4 ui-monospace,monospace;background:var(--soft);padding:.05em .3em;border-radius:.25em}
q{font-style:italic;color:var(--dim)}
.dim{color:var(--dim)}.good{color:var(--good)}.bad{color:var(--bad)}.asks{color:var(--asks)}
"""
_TAGS: dict[Kind, str] = {"strong": "strong", "code": "code", "quote": "q"}


def page(brief: Brief) -> str:
    """As a page that needs nothing else: no script, no picture, nothing from anywhere."""
    found = document(brief)
    title = escape(found.title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{title}</h1>\n<p class="about">{escape(found.about)}</p>\n<p class="lead">{_marked(found.lead)}</p>\n'
        f"{_body(found)}</main>\n</body>\n</html>\n"
    )


def _body(found: Document) -> str:
    parts: list[str] = []
    for section in found.sections:
        parts.append(f"<section>\n<h2>{escape(section.title)}</h2>\n<ul>\n")
        for item in section.items:
            more = "".join(f"<div>{_marked(line)}</div>" for line in item.more)
            parts.append(f"<li>{_marked(item.head)}{more}</li>\n")
        parts.append("</ul>\n</section>\n")
    return "".join(parts)


def _marked(line: Line) -> str:
    return "".join(map(_element, line))


def _element(span: Span) -> str:
    text = escape(sanitised(span.text))
    if span.link and _address(span.link):
        return f'<a href="{escape(span.link)}" rel="noreferrer noopener">{text}</a>'
    if (tag := _TAGS.get(span.kind)) is not None:
        return f"<{tag}>{text}</{tag}>"
    return text if span.kind == "text" else f'<span class="{span.kind}">{text}</span>'
