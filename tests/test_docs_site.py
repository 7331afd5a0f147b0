"""The site of the documentation: built without a warning, complete, and without the network."""

from __future__ import annotations

import html
import inspect
import logging
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import attentune
import pytest

config_module = pytest.importorskip("mkdocs.config")
build_module = pytest.importorskip("mkdocs.commands.build")

ROOT = Path(attentune.__file__).resolve().parent
ADDRESS = re.compile(r"(?:https?:)?//[^\s\"')]+")
CHROMIUM = shutil.which("chromium")
LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("use", "href")}
"""Attributes whose address a browser loads; a `link` is looked at apart."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        config = config_module.load_config(
            str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(folder)
        )
        logger = logging.getLogger("mkdocs")
        level = logger.level
        logger.setLevel(logging.WARNING)
        try:
            build_module.build(config)
        finally:
            logger.setLevel(level)
    return folder


class LoadedAddresses(HTMLParser):
    """The addresses that a browser loads when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.addresses += [value for name, value in values.items() if (tag, name) in LOADED]
        if tag == "link" and values.get("rel") != "canonical":
            self.addresses.append(values.get("href", ""))
        self.addresses += re.findall(r"url\(([^)]*)\)", values.get("style", ""))


def pages(site: Path) -> Iterator[Path]:
    yield from sorted(site.rglob("*.html"))


def test_no_page_loads_anything_from_another_address(site):
    for page in pages(site):
        parser = LoadedAddresses()
        parser.feed(page.read_text("utf-8"))
        if page.name.endswith("-report.html"):  # It holds everything itself, images included.
            assert all(address.startswith("data:") for address in parser.addresses), page
        else:
            assert len(parser.addresses) > 5
        assert not [address for address in parser.addresses if ADDRESS.match(address)], page
    for sheet in site.rglob("*.css"):
        assert not re.findall(
            rf"(?:url\(|@import )[\"']?{ADDRESS.pattern}", sheet.read_text("utf-8")
        )


def test_every_page_is_in_the_navigation(site):
    home = (site / "index.html").read_text("utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        address = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert f'href="{address}"' in home, f"{page.name} is not in the navigation of mkdocs.yml"


def test_tables_and_code_are_rendered_as_such(site):
    for page in pages(site):
        article = re.search(r"<article.*?</article>", page.read_text("utf-8"), re.S)
        prose = re.sub(r"<(pre|code).*?</\1>", "", article[0] if article else "", flags=re.S)
        assert not re.findall(r"^\s*\|.*|.*```.*", re.sub(r"<[^>]*>", "", prose), re.M), page


def test_the_reference_has_every_public_name_with_its_docstring(site):
    text = html.unescape(re.sub(r"<[^>]*>", "", (site / "reference.html").read_text("utf-8")))
    text = re.sub(r"\s+", " ", text)
    for name in attentune.__all__:
        assert f" attentune.{name}" in text
        if name != "search":  # It is a package, too.
            summary = inspect.getdoc(getattr(attentune, name)).partition("\n")[0]
            assert summary.replace("`", "") in text


def test_pages_in_english_and_in_chinese_link_each_other(site):
    for page in sorted((ROOT / "docs" / "zh").glob("*.md")):
        english = (site / f"{page.stem}.html").read_text("utf-8")
        chinese = (site / "zh" / f"{page.stem}.html").read_text("utf-8")
        assert re.search(rf'<article.*href="zh/{page.stem}.html"', english, re.S)
        assert re.search(rf'<article.*href="../{page.stem}.html"', chinese, re.S)
        assert '<html lang="en"' in english
        assert '<html lang="zh-Hans"' in chinese


def test_a_paragraph_in_chinese_has_no_space_where_a_line_ended(site):
    for page in sorted((ROOT / "docs" / "zh").glob("*.md")):
        article = (site / "zh" / f"{page.stem}.html").read_text("utf-8").partition("<article")[2]
        prose = re.sub(r"<(pre|code).*?</\1>", "code", article.split("</article>")[0], flags=re.S)
        assert not re.findall(r"[\u4e00-\u9fff，。；：、]\n *[\u4e00-\u9fff]+", prose), page


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
@pytest.mark.parametrize(
    ("query", "address"),
    [("canonical text hex digits", "guide.html"), ("剪枝器", "zh/samplers.html")],
)
def test_the_search_finds_a_page_without_a_server(site, query, address):
    playwright = pytest.importorskip("playwright.sync_api")
    if not query.isascii():
        pytest.importorskip("jieba")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        requests = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.fill("[data-md-component=search-query]", query)
        page.press("[data-md-component=search-query]", "End")  # The search waits for a key.
        page.wait_for_selector(".md-search-result__link")
        links = page.eval_on_selector_all(
            ".md-search-result__link", "links => links.map(link => link.href)"
        )
        browser.close()
    assert any(f"/{address}" in link for link in links)
    assert all(url.startswith(("file:", "data:", "about:")) for url in requests)
