"""What `mkdocs build` needs beyond the pages in `docs/`.

A link that is right in the repository, such as `../examples/search.ipynb`, is made right in the
site, which gets a copy of the file. The API reference is read from the sources by the name of the
package, which is not that of its folder.
"""

from __future__ import annotations

import posixpath
import re
import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md")
"""Pages of the repository's root that are pages of the site too."""
SOURCES = ("*.py", "spaces", "runners", "studies", "search")
"""What the package consists of, without a virtual environment beside it."""
PACKAGE = tempfile.TemporaryDirectory()
"""A folder with links to the sources, in a folder called as the package."""


@event_priority(100)
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Tell mkdocstrings where the package is, before it reads its own configuration."""
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
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Links that lead out of `docs/`, or into it, as links within the site."""
    if page.file.src_uri in PAGES:
        return markdown.replace("](docs/", "](")
    folder = posixpath.dirname(page.file.src_uri)

    def within_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        if not target.startswith("../"):
            return link[0]
        return f"]({posixpath.relpath(target.removeprefix('../'), folder or '.')}"

    return re.sub(r"\]\((\.\./[^)#\s]*)", within_site, markdown)
