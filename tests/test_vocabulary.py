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


ERRORS_OF_LIBRARIES = ("NotFoundError", "ResultFound", "ResultsFound")
"""The ends of names that Python and SQLAlchemy have chosen."""


def identifiers(file: Path) -> Iterator[tuple[int, str]]:
    """(line, word) for each word of each identifier in a file."""
    source = file.read_text("utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        python_s_own = keyword.iskeyword(token.string) or token.string.endswith(ERRORS_OF_LIBRARIES)
        if token.type == tokenize.NAME and not python_s_own:
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


def public_callables(file: Path) -> Iterator[tuple[str, ast.FunctionDef, str]]:
    """(name, definition, documentation) of every public function and method of a file.

    What the head of the file says counts for all of its functions.
    """
    module = ast.parse(file.read_text("utf-8"))
    head = ast.get_docstring(module) or ""
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node, f"{ast.get_docstring(node)} {head}"
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield f"{node.name}.{method.name}", method, ast.get_docstring(method) or ""


def parameters(node: ast.FunctionDef) -> list[str]:
    """The names of a function's parameters, without `self` and `cls`."""
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    names = [argument.arg.lstrip("_") for argument in arguments]
    return [name for name in names if name not in ("self", "cls")]


def test_docstrings_name_the_parameters_of_what_has_three_or_more():
    silent: dict[str, list[str]] = {}
    documented: set[str] = set()
    for file in FILES:
        # The options of a command have help texts, and torch fixes the signature of a Function.
        if file.is_relative_to(ROOT / "search" / "cli") or "benchmarks" in file.parts:
            continue
        for name, node, text in public_callables(file):
            names = parameters(node)
            if len(names) < 3 or names[0] == "ctx":
                continue
            method = name.rpartition(".")[2]
            unnamed = [each for each in names if not re.search(rf"\b{each}\b", text)]
            if unnamed:
                silent[f"{file.relative_to(ROOT)}: {name}"] = [f"{method} {n}" for n in unnamed]
            documented |= {f"{method} {n}" for n in set(names) - set(unnamed)}
    # A method of a protocol is documented once, where the protocol is.
    wrong = {name: missing for name, missing in silent.items() if not set(missing) <= documented}
    assert not wrong, "\n".join(f"{name} says nothing of {wrong[name]}" for name in wrong)
