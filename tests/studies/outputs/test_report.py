"""The report: one offline file that shows something sensible whatever the study holds."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attentune.errors import StoreError, StudyError
from attentune.runners.results import EpochReport, Failure
from attentune.studies.database.store import Store
from attentune.studies.outputs.report import write_report
from attentune.studies.records import BASELINE, StudyRecord

Add = Callable[..., int]
Report = Callable[..., EpochReport]
EVIL = "<script>alert('x')</script> & <img src=x onerror=alert(1)>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
FLAGS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
)


@pytest.fixture
def target(tmp_path: Path) -> str:
    return str(tmp_path / "x.db")


@pytest.fixture
def filled(store: Store, study: StudyRecord, add: Add, epoch: Report) -> StudyRecord:
    """Baselines, a front, a pruned, a failed and a running trial, and a rejection."""
    add("resnet18", 0.60, 11_689_512, role=BASELINE)
    add("resnet18+se(r=16)@all.residual", 0.62, 11_776_552, role=BASELINE)
    add("resnet18+cbam(r=4)@s3.residual", 0.70, 11_700_000)
    add("resnet18+cbam(r=4)@s3.residual", 0.72, 11_700_000, seed=1)
    pruned, failed = add("resnet18+eca@s1.mid"), add("resnet18+eca@s2.mid")
    store.epochs.record(study, pruned, epoch(1, 0.3))
    store.trials.prune(study, pruned, "below its peers")
    store.trials.fail(study, failed, Failure("out_of_memory", EVIL))
    add("resnet18+eca@s3.mid")
    from attentune.spaces.architecture import parse

    store.trials.reject(study, parse("resnet18+nl(r=2)@all.post"), "macs above the limit")
    config = {"command": "attentune search first", "note": EVIL}
    return store.studies.change_config(study, lambda _: config)


def written(store: Store, study: StudyRecord, folder: Path) -> str:
    """The page without Plotly's own script."""
    text = write_report(store, study, folder / "report.html").read_text("utf-8")
    scripts = re.findall(r"<script>.*?</script>", text, flags=re.DOTALL)
    return text.replace(max(scripts, key=len), "")


def test_the_report_has_results_failures_environment_and_command(
    store: Store, filled: StudyRecord, tmp_path: Path
) -> None:
    page = written(store, filled, tmp_path)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))
    for expected in (
        "Take resnet18+cbam(r=4)@s3.residual: +",
        "so it is a hypothesis until attentune confirm tests it with fresh seeds",
        "11.69 M",
        "+0.09 %",
        "out_of_memory",
        "1 architecture rejected before training",
        "macs above the limit",
        "cpu (test)",
        "0123456789ab",
        "attentune search first",
        "1 trial unfinished",
    ):
        assert expected in text, expected


def test_the_report_loads_nothing_and_forbids_itself_to(
    store: Store, filled: StudyRecord, tmp_path: Path
) -> None:
    page = written(store, filled, tmp_path)
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//""", page)
    assert not re.findall(r"@import|url\(", page)
    assert "<link" not in page


def test_nothing_in_the_report_names_another_host(
    store: Store, filled: StudyRecord, tmp_path: Path
) -> None:
    text = write_report(store, filled, tmp_path / "report.html").read_text("utf-8")
    addresses = re.findall(r"(?:https?|wss?)://[\w-]+\.[\w.-]+", text)
    assert set(addresses) <= {"http://www.w3.org"}
    assert "form-action 'none'" in text


def test_markup_in_messages_and_settings_stays_text(
    store: Store, filled: StudyRecord, tmp_path: Path
) -> None:
    page = written(store, filled, tmp_path)
    assert "<img src=x" not in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    plots = page.partition('id="plots">')[2].partition("</script>")[0]
    assert len(plots) > 1000
    assert "<" not in plots, "nothing inside can end the script element"


def fill_empty(store: Store, study: StudyRecord, epoch: Report, add: Add) -> None:
    pass


def fill_failed(store: Store, study: StudyRecord, epoch: Report, add: Add) -> None:
    store.trials.fail(study, add("resnet18"), Failure("error", "boom"))


def fill_running(store: Store, study: StudyRecord, epoch: Report, add: Add) -> None:
    store.epochs.record(study, add("resnet18"), epoch(1, 0.3))


def fill_single(store: Store, study: StudyRecord, epoch: Report, add: Add) -> None:
    add("resnet18", 0.5)


SMALL = {
    "No trial has run yet.": fill_empty,
    "No trial is complete: 1 failed.": fill_failed,
    "No trial is complete yet; 1 trial has begun.": fill_running,
    "The bare resnet18 reaches 50.0 ± 0.9 %; nothing else is complete yet.": fill_single,
}


@pytest.mark.parametrize("says", SMALL)
def test_a_small_study_has_a_sensible_report(
    store: Store, study: StudyRecord, epoch: Report, add: Add, tmp_path: Path, says: str
) -> None:
    SMALL[says](store, study, epoch, add)
    assert says in written(store, study, tmp_path)


def test_a_study_with_only_accuracy_shows_it_against_parameters(
    store: Store, tmp_path: Path
) -> None:
    study = store.studies.create("a", backbone="r", objectives=("accuracy",), config={}, seed=0)
    assert "Accuracy against parameters" in written(store, study, tmp_path)


def test_a_report_that_cannot_be_written_says_so(
    store: Store, study: StudyRecord, tmp_path: Path
) -> None:
    for path, says in (
        (tmp_path, "is a folder; name a file in it"),
        (tmp_path / "no" / "report.html", "does not exist; make it first"),
    ):
        with pytest.raises(StoreError, match=says):
            write_report(store, study, path)
    with pytest.raises(StudyError, match="no study"):
        write_report(store, "nobody", tmp_path / "report.html")


def test_a_failed_write_leaves_the_old_report_and_no_rubbish(
    store: Store, study: StudyRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "report.html").write_text("old")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match="No space left on device; choose another"):
        write_report(store, study, folder / "report.html")
    assert [p.name for p in folder.iterdir()] == ["report.html"]
    assert (folder / "report.html").read_text() == "old"


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_browser_draws_the_report_without_complaint(
    store: Store, filled: StudyRecord, tmp_path: Path, width: int, scheme: Any
) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    path = write_report(store, filled, tmp_path / "report.html")
    complaints: list[str] = []
    requests: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_function("document.querySelectorAll('.figure .main-svg').length >= 6")
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        drawn = page.locator(".figure .points path").count()
        buttons = page.locator(".modebar-btn").evaluate_all("all => all.map(b => b.dataset.title)")
        browser.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert overflow <= 0
    assert drawn >= 3
    assert "Zoom" in buttons
    assert not [title for title in buttons if re.search("share|plotly", str(title), re.IGNORECASE)]
