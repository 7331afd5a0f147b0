"""Pages in Chinese have the commands, headings, links, images and figures of the English ones."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import attentune
import pytest

ROOT = Path(attentune.__file__).resolve().parent
TRANSLATIONS = {
    "README.md": "README.zh.md",
    **{
        f"docs/{page.name}": f"docs/zh/{page.name}"
        for page in sorted((ROOT / "docs" / "zh").glob("*.md"))
    },
}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
TABLE = re.compile(r"<!-- from \S+ -->\n.*?<!-- end -->", re.S)


def read(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def prose(page: str) -> str:
    return TABLE.sub("", BLOCK.sub("", read(page)))


def code(page: str) -> list[tuple[str, str]]:
    """The blocks of a page; of commands without their comments."""
    return [
        (language, text if language else re.sub(r" *#.*", "", text))
        for language, text in BLOCK.findall(read(page))
    ]


def linked(page: str) -> set[str]:
    """The files that a page links or shows, each as its English version."""
    english = {translation: original for original, translation in TRANSLATIONS.items()}
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", prose(page))
    files = (posixpath.normpath(posixpath.join(posixpath.dirname(page), t)) for t in targets)
    return {english.get(file, file) for file in files} - set(TRANSLATIONS)


@pytest.mark.parametrize(("page", "translation"), TRANSLATIONS.items())
def test_a_translation_is_in_step(page, translation):
    assert code(translation) == code(page)
    assert TABLE.findall(read(translation)) == TABLE.findall(read(page))
    headings = [re.findall(r"^(#+) ", prose(p), re.M) for p in (page, translation)]
    assert headings[0] == headings[1]
    assert linked(translation) == linked(page)
    figures = [sorted(set(re.findall(r"\d+\.\d+", prose(p)))) for p in (page, translation)]
    assert figures[0] == figures[1]
    options = [sorted(set(re.findall(r"--[a-z][a-z-]+", prose(p)))) for p in (page, translation)]
    assert options[0] == options[1]
