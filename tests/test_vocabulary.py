"""The language of the code, as far as a test can keep it: one word for one thing."""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import attentune
import pytest

ROOT = Path(attentune.__file__).resolve().parent
FOLDERS = ("spaces", "runners", "studies", "search", "benchmarks")
FILES = sorted(
    [*ROOT.glob("*.py"), *(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))]
)
FORBIDDEN = {
    "luck": "seed effects",
    "looks": "attention maps",
    "looked": "inspected",
    "looking": "attention maps, or inspecting",
    "gaze": "attention maps",
    "gazes": "attention maps",
    "settle": "autotune, on_trial_end, or materialise",
    "settled": "autotuned, or resolved",
    "tenure": "study lease",
    "agenda": "trial source",
    "foresee": "ask ahead",
    "heedless": "stateless",
    "slabs": "pool and scale on a CPU",
    "patient": "safe",
    "guest": "plug-in factory",
    "fitting": "placement",
    "fittings": "placements",
    "rerolled": "Hiera's token order",
    "anatomy": "stages",
    "aside": "background",
    "memo": "cache",
    "picture": "image",
    "pictures": "images",
    "surest": "best",
    "found": "name what was found",
    "told": "name what was reported",
    "given": "name what was given",
}
"""Words that mean nothing to a reader who knows the field, and what to say instead."""


def identifiers(file: Path) -> Iterator[tuple[int, str]]:
    """(line, word) for each word of each identifier in a file."""
    source = file.read_text("utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
            for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", token.string):
                yield token.start[0], word.lower()


@pytest.mark.parametrize("folder", FOLDERS)
def test_identifiers_avoid_words_without_a_meaning_of_their_own(folder):
    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {word!r}; say {FORBIDDEN[word]}"
        for file in FILES
        if file.is_relative_to(ROOT / folder)
        for line, word in identifiers(file)
        if word in FORBIDDEN
    ]
    assert not wrong, "\n".join(wrong)


def test_no_class_name_stands_twice():
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for file in FILES:
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(file.relative_to(ROOT)))
    assert not {name: files for name, files in homes.items() if len(files) > 1}
