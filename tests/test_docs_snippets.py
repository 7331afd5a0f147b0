"""What pages of the documentation print and quote is what one sees."""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
from functools import cache
from pathlib import Path

import attentune
import pytest
from attentune.spaces.paste_in.code import paste_in_code

ROOT = Path(attentune.__file__).resolve().parent
SNIPPET = re.compile(r"^```python\n(.*?)^```\n\n^```text\n(.*?)^```", re.S | re.M)
SOURCES = ("spaces", "runners", "studies", "search")


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_of_python_can_be_compiled(page):
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.S | re.M):
        compile(textwrap.dedent(block), page.name, "exec")


@pytest.mark.parametrize("page", ["statistics.md", "finetuning.md"])
def test_snippets_print_what_stands_below_them(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    names: dict = {"__name__": "__main__"}
    snippets = SNIPPET.findall((ROOT / "docs" / page).read_text("utf-8"))
    assert snippets
    for code, expected in snippets:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, page, "exec"), names)
        assert printed.getvalue() == expected


@pytest.mark.parametrize(
    "text",
    ["se(r=16)", pytest.param("resnet18+cbam(r=16)@s4.residual", marks=pytest.mark.slow)],
)
def test_the_code_that_a_page_shows_is_what_is_printed(text):
    page = (ROOT / "docs" / "code.md").read_text("utf-8")
    shown = re.search(
        rf"printed for `{re.escape(text)}`.*?^```python\n(.*?)^```", page, re.S | re.M
    )
    assert shown
    assert shown[1] in paste_in_code(text)


@cache
def messages() -> str:
    """The sources, with the parts of each text joined."""
    text = "\n".join(
        file.read_text("utf-8") for folder in SOURCES for file in (ROOT / folder).rglob("*.py")
    )
    return re.sub(r"""["']\s*\n\s*f?["']""", "", text)


def quoted_messages() -> list[str]:
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    return re.findall(r"^\| `([^`]+)`", page, re.M)


@pytest.mark.parametrize("message", quoted_messages())
def test_a_message_that_troubleshooting_explains_exists(message):
    for part in message.split("…"):
        assert part.strip() in messages(), part


def test_troubleshooting_explains_many_messages():
    assert len(set(quoted_messages())) > 30
