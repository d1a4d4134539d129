"""JavaScript, TypeScript, Ruby and PHP by their syntax: calls with their constants worked out, in the order of the text.

Each language has a reader that turns its tree into calls; what a call does is one table for all of them
(`overnight.guard.unwrap.calls`). Names are followed through imports, `require`, assignments and destructuring.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from overnight.guard.machine import Run
from overnight.guard.text import HOLE
from overnight.guard.unwrap.javascript import JavaScript
from overnight.guard.unwrap.php import Php
from overnight.guard.unwrap.ruby import Ruby

if TYPE_CHECKING:
    from tree_sitter import Parser

_GRAMMARS = {
    "node": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_tsx"),
    "ruby": ("tree_sitter_ruby", "language"),
    "php": ("tree_sitter_php", "language_php"),
}


@cache
def _parser(language: str) -> Parser:
    from tree_sitter import Language, Parser

    module, function = _GRAMMARS[language]
    grammar: object = getattr(import_module(module), function)()
    return Parser(Language(grammar))


def tree_effects(run: Run, source: str, language: str) -> None:
    """Emit what the calls in a source do. A text that is not quite the language is read as far as it can be."""
    if language not in _GRAMMARS:
        return
    text = source.replace(HOLE, "_unknown_")
    if language == "php" and not text.lstrip().startswith("<?"):
        text = "<?php " + text
    root = _parser(language).parse(text.encode("utf-8", "replace")).root_node
    reader = {"ruby": Ruby, "php": Php}.get(language, JavaScript)(run)
    try:
        reader.visit(root)
    except RecursionError:
        run.unverifiable(f"the {language} code nests too deep")
    reader.finish()
