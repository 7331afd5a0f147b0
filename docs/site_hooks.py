"""What `mkdocs build` needs beyond the pages in `docs/`.

A link that is right in the repository, such as `../examples/search.ipynb`, is made right in the
site, which gets a copy of the file. The API reference is read from the sources by the name of the
package, which is not that of its folder. A page in one language links that in the other. A report
of the gallery gets Plotly's script back.
"""

from __future__ import annotations

import logging
import posixpath
import re
import tempfile
from pathlib import Path

from attentune.benchmarks.report_script import with_script
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md")
"""Pages of the repository's root that are pages of the site too."""
SOURCES = ("*.py", "spaces", "runners", "studies", "search")
"""What the package consists of, without a virtual environment beside it."""
REPORT = re.compile(r"gallery/[^/]+-report\.html")
PACKAGE = tempfile.TemporaryDirectory()
"""A folder with links to the sources, in a folder called as the package."""
CHINESE = "zh/"
"""The folder of the pages in Chinese, each called as the English one."""
MARK = r"\u3000-\u303f\uff00-\uffef"
"""Punctuation as wide as a Chinese character."""
BREAK_IN_CHINESE = re.compile(
    rf"""^```.*?^```$ | ^\#[^\n]*\n    # Code and headings, which stay as they are.
    | (?<=[{MARK}\u4e00-\u9fff])\n[ ]*(?=[{MARK}\u4e00-\u9fff])
    | (?<=[{MARK}])\n[ ]*(?=[`\[“A-Za-z]|\d+(?![.\d]))""",
    re.S | re.M | re.X,
)
"""Ends of lines that are no space in Chinese."""


@event_priority(100)
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Tell mkdocstrings where the package is, before it reads its own configuration."""
    logging.getLogger("jieba").setLevel(logging.WARNING)  # It segments Chinese for the search.
    package = Path(PACKAGE.name) / "attentune"
    package.mkdir(exist_ok=True)
    for source in (source for pattern in SOURCES for source in ROOT.glob(pattern)):
        if not (package / source.name).exists():
            (package / source.name).symlink_to(source)
    handlers = config.plugins["mkdocstrings"].config["handlers"]
    handlers["python"]["paths"] = [PACKAGE.name]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside of `docs/`."""
    examples = (ROOT / "examples").rglob("*.*")
    for file in (*(ROOT / page for page in PAGES), *examples):
        if file.is_file() and "__pycache__" not in file.parts:
            path = file.relative_to(ROOT).as_posix()
            files.append(File.generated(config, path, abs_src_path=str(file)))
    for file in [file for file in files if REPORT.fullmatch(file.src_uri)]:
        files.remove(file)
        content = with_script(file.content_string)
        files.append(File.generated(config, file.src_uri, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: object) -> str:
    """Links that lead out of `docs/`, or into it, as links within the site."""
    if page.file.src_uri in PAGES:
        return markdown.replace("](docs/", "](")
    folder = posixpath.dirname(page.file.src_uri)

    def within_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        if not target.startswith("../"):
            return link[0]
        return f"]({posixpath.relpath(target.removeprefix('../'), folder or '.')}"

    markdown = re.sub(r"\]\((\.\./[^)#\s]*)", within_site, markdown)
    if page.file.src_uri.startswith(CHINESE):
        markdown = join_chinese_lines(markdown)
    return link_other_language(markdown, page.file.src_uri, files)


def join_chinese_lines(markdown: str) -> str:
    """Join the lines of paragraphs, because a browser shows the end of a line as a space."""
    return BREAK_IN_CHINESE.sub(
        lambda match: match[0] if match[0].strip() else "",
        markdown,
    )


def link_other_language(markdown: str, path: str, files: Files) -> str:
    """Link the page in the other language below the title, if there is one."""
    if path.startswith(CHINESE):
        name, other, link = (
            "English",
            path.removeprefix(CHINESE),
            f"../{path.removeprefix(CHINESE)}",
        )
    else:
        name, other = "中文", CHINESE + path
        link = other
    if files.get_file_from_path(other) is None or f"]({link})" in markdown:
        return markdown
    title, newline, text = markdown.partition("\n")
    attributes = "{ .other-language data-search-exclude }"
    return f"{title}\n\n[{name}]({link})\n{attributes}\n{newline}{text}"


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Say which language a page is in: fonts and screen readers depend on it."""
    if page.file.src_uri.startswith(CHINESE):
        return output.replace('<html lang="en"', '<html lang="zh-Hans"', 1)
    return output
