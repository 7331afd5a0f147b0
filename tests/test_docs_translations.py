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
        (language, re.sub(r" *#.*", "", text) if language in ("", "bash") else text)
        for language, text in BLOCK.findall(read(page))
    ]


def code_in_text(page: str) -> set[str]:
    return {re.sub(r"\s+", " ", text) for text in re.findall(r"`([^`]+)`", prose(page))}


def linked_files(page: str) -> set[str]:
    """The files that a page links or shows."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", prose(page))
    return {posixpath.normpath(posixpath.join(posixpath.dirname(page), t)) for t in targets}


def linked(page: str) -> set[str]:
    """The files that a page links or shows, each as its English version."""
    english = {translation: original for original, translation in TRANSLATIONS.items()}
    return {english.get(file, file) for file in linked_files(page)} - set(TRANSLATIONS)


@pytest.mark.parametrize(("page", "translation"), TRANSLATIONS.items())
def test_a_translation_is_in_step(page, translation):
    assert code(translation) == code(page)
    assert TABLE.findall(read(translation)) == TABLE.findall(read(page))
    headings = [re.findall(r"^(#+) ", prose(p), re.M) for p in (page, translation)]
    assert headings[0] == headings[1]
    assert linked(translation) == linked(page)
    assert code_in_text(translation) == code_in_text(page)
    figures = [sorted(set(re.findall(r"\d+\.\d+", prose(p)))) for p in (page, translation)]
    assert figures[0] == figures[1]
    options = [sorted(set(re.findall(r"--[a-z][a-z-]+", prose(p)))) for p in (page, translation)]
    assert options[0] == options[1]


@pytest.mark.parametrize(("page", "translation"), TRANSLATIONS.items())
def test_a_page_in_chinese_links_pages_in_chinese(page, translation):
    """Only the page itself may be linked in English, for those who want to change the language."""
    assert not linked_files(translation) & (set(TRANSLATIONS) - {page})


def test_the_home_page_the_tutorial_and_the_whole_guide_are_in_chinese():
    pages = {"docs/index.md", "docs/tutorial.md", "docs/guide.md", *linked_files("docs/guide.md")}
    assert pages - set(TRANSLATIONS) == {"docs/settings.md"}, "generated from the code, in English"
