"""The dashboard in Chromium: every page without complaint, card, copied text, live, harmless."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from attentune.errors import StoreError
from attentune.runners.results import Costs, EpochReport, Failure, TrialResult
from attentune.spaces.architecture import parse
from attentune.studies.dashboard.app import PAGES
from attentune.studies.dashboard.base_path import ROOT, BasePath
from attentune.studies.dashboard.serve import application
from attentune.studies.database.schema import StudyRow
from attentune.studies.database.store import Store
from attentune.studies.records import BASELINE, SEARCH

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
HOSTILE = "<img src=x onerror=alert(1)>"
TEXTS = (
    "resnet18",
    "resnet18+se(r=16,start=identity)@all.residual",
    "resnet18+cbam(r=4,start=identity)@s3.post",
    "resnet18+se(r=4,start=identity)@s1.residual+eca(start=identity)@s2-s4.post",
    "resnet18+ca(r=8,start=identity)@s4.residual",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
]


def epoch(number: int, accuracy: float) -> EpochReport:
    return EpochReport(number, 1.0, accuracy, 1.1, 0.004, 2.0)


def result(accuracy: float, params: int) -> TrialResult:
    facts = {"device": "cpu (test)", "torch": "2.13.0"}
    costs = Costs(params, 100 * params, 4.0, 1.0)
    return TrialResult(accuracy, 3, costs, 20.0, 18.0, 512.0, facts)


def run_trial(store: Store, study: str, number: int, text: str, seed: int = 0) -> None:
    role = BASELINE if number < 2 else SEARCH
    store.trials.start(study, number, parse(text), seed=seed, role=role, worker=f"w{number % 2}")
    reached = 0.6 + 0.02 * TEXTS.index(text) + 0.004 * seed
    for done in (1, 2, 3):
        store.epochs.record(study, number, epoch(done, reached - 0.1 + done * 0.1 / 3))
    store.trials.finish(study, number, result(reached, 1000 + 10 * TEXTS.index(text)))


def make_study(store: Store, name: str) -> None:
    config = {
        "plan": {"trials": 20},
        "study": {"stages": 4, "recipe": {"data": "digits", "image_size": 32}},
    }
    store.studies.create(
        name, backbone="resnet18", objectives=("accuracy", "params"), config=config, seed=0
    )


@pytest.fixture
def writer(tmp_path) -> Iterator[Store]:
    """A database with a finished study `done` and one that has not begun, `young`."""
    with Store.open(tmp_path / "attentune.db", create=True) as store:
        make_study(store, "young")
        make_study(store, "done")
        for number in range(10):
            run_trial(store, "done", number, TEXTS[number % 5], seed=number // 5)
        store.trials.start("done", 10, parse(f"{TEXTS[2]}+eca@s1.residual"), seed=0)
        store.trials.fail("done", 10, Failure("error", HOSTILE, "trace"))
        yield store


@contextmanager
def served(
    path: Any, study: str | None = None, token: str | None = None, base: BasePath = ROOT
) -> Iterator[str]:
    from waitress import create_server

    with Store.open(path, read_only=True) as reader:
        guarded = application(reader, study, token=token, base=base)
        server = create_server(guarded, host="127.0.0.1", port=0, threads=6)

        def run() -> None:
            with suppress(OSError):  # its socket is closed under it at the end
                server.run()

        threading.Thread(target=run, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.effective_port}{base.path}".rstrip("/")
        finally:
            server.close()
            server.task_dispatcher.shutdown()


@pytest.fixture
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@contextmanager
def opened(
    browser: Any, width: int = 1280, scheme: str = "light"
) -> Iterator[tuple[Any, list[str]]]:
    """A page, and what it complained about."""
    complaints: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else 0)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    page.on("response", lambda r: complaints.append(f"{r.status} {r.url}") if r.status > 399 else 0)
    yield page, complaints
    context.close()


def wait_until(page: Any, expression: str, seconds: float = 60) -> None:
    """Wait for a JavaScript expression; the page's policy forbids Playwright's own way."""
    ends = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < ends, expression
        page.wait_for_timeout(100)


def wait_for_figures(page: Any) -> None:
    """Every figure is drawn."""
    wait_until(
        page,
        "(graphs => graphs.length > 0 && graphs.every(p => p.querySelector('.main-svg') && p.layout"
        " && ((p.data || []).length"
        " || (p.layout.annotations || []).some(a => !a.text.includes('Computing')))))"
        "([...document.querySelectorAll('main .js-plotly-plot')])",
    )


FIGURES = ["/", "/effects", "/history", "/pair", "/compare"]
"""Pages whose figures are drawn without weights and without a confirmation."""
MESSAGES = {
    "/trials": "1 to 11 of 11 trials",
    "/attention-maps": "are missing in",
    "/confirmation": "Nothing has been confirmed yet",
    "/predictions": "has recorded no metrics besides its accuracy",
}
"""What the other pages show instead."""


OF_OTHERS = (".dash-dropdown-focus-target", ".js-plotly-plot")
"""Elements of Dash and of Plotly, which axe finds fault with; they are not made here."""


def violations(page: Any) -> list[str]:
    """What axe-core finds wrong with the accessibility of what is made here."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response
    return [
        f"{rule['id']}: {node['html']}"
        for rule in found["violations"]
        for node in rule["nodes"]
        if not page.evaluate(
            "([targets, others]) => targets.every(t => others.some(o => document.querySelector(t)"
            "?.closest(o)))",
            [node["target"], list(OF_OTHERS)],
        )
    ]


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (390, "dark"), (1280, "dark"), (390, "light")]
)
def test_every_page_is_drawn_without_complaint(writer, browser, width, scheme):
    with served(writer.name) as address, opened(browser, width, scheme) as (page, complaints):
        requests, buttons = set(), set()
        page.on("request", lambda request: requests.add(request.url))
        for path in PAGES:
            page.goto(f"{address}{path}?study=done")
            if path in FIGURES:
                wait_for_figures(page)
            else:
                page.get_by_text(MESSAGES[path]).first.wait_for()
            over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert over <= 0, path
            assert page.evaluate("document.documentElement.dataset.theme") == scheme
            assert page.locator("html[lang=en]").count() == page.locator("h1").count() == 1
            assert violations(page) == [], path
            names = page.get_by_role("figure").evaluate_all("all => all.map(f => f.ariaLabel)")
            assert all(names)
            assert len(names) == len(set(names)) == page.locator("main .dash-graph").count()
            assert page.locator("#unknown").inner_text() == ""
            titles = "all => all.map(button => button.dataset.title)"
            buttons |= set(page.locator(".modebar-btn").evaluate_all(titles))
        page.goto(f"{address}/?study=done")
        wait_for_figures(page)
        assert page.locator("header").bounding_box()["height"] < 110
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 718, "height": 900})  # That of A4 paper, between margins.
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        ends = "all => all.map(each => each.getBoundingClientRect().right)"
        shown = page.locator("main .main-svg, main table").evaluate_all(ends)
        assert len(shown) >= 3
        assert max(shown) <= 718
        assert complaints == []
        assert "Zoom" in buttons
        assert not {title for title in buttons if re.search("(?i)share|plotly", str(title))}
        local = ("data:", "blob:", address)
        assert not {url for url in requests if not url.startswith(local)}


@pytest.mark.timeout(280)
def test_a_real_search_is_followed_from_its_first_epoch_to_what_its_network_looks_at(
    tmp_path, browser
):
    database = tmp_path / "real.db"
    command = [sys.executable, "-m", "attentune", "search", "real", f"--db={database}"]
    command += ["--backbone=test_resnet", "--data=digits", "--image-size=24", "--train-limit=300"]
    command += ["--epochs=6", "--trials=4", "--lr=0.004", "--workers=1", "--precision=float32"]
    command += ["--memory-format=channels_last"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as search:
        try:
            ends = time.monotonic() + 120
            while not database.exists() or not counted(database):
                assert time.monotonic() < ends
                time.sleep(0.2)
            with served(database) as address, opened(browser) as (page, complaints):
                for path in ("/effects", "/compare", "/confirmation", "/", "/history"):
                    page.goto(f"{address}{path}?study=real")
                    page.locator("main section").first.wait_for()
                page.get_by_text("4 trials done").wait_for(timeout=120_000)
                search.wait(60)
                for path in FIGURES:
                    page.goto(f"{address}{path}?study=real")
                    wait_for_figures(page)
                page.goto(f"{address}/attention-maps?study=real&trial=3")
                page.get_by_text("classified correctly").wait_for(timeout=120_000)
                wait_for_figures(page)
                assert b",image " in saved_data(page, "locations")
                assert b"channel" in saved_data(page, "channels")
                page.goto(f"{address}/predictions?study=real&trial=3")
                wait_for_figures(page)
                assert b" taken for " in saved_data(page, "confusion")
                page.goto(f"{address}/?study=real&trial=3")
                page.locator(".trial-card .js-plotly-plot .main-svg").first.wait_for()
                assert complaints == []
        finally:
            search.kill()


def saved_data(page: Any, name: str) -> bytes:
    """The CSV of a figure."""
    with page.expect_download() as waited:
        page.locator(f"[data-save=csv][data-name={name}]").click()
    return waited.value.path().read_bytes()


def counted(database: Any) -> int:
    """Epochs so far."""
    with suppress(StoreError), Store.open(database, read_only=True) as store:
        return store.epochs.last_id()
    return 0


@pytest.mark.timeout(240)
def test_a_study_of_one_trial_and_one_that_only_failed_are_shown(writer, browser):
    run_trial(writer, "young", 0, TEXTS[0])
    make_study(writer, "unlucky")
    writer.trials.start("unlucky", 0, parse(TEXTS[0]), seed=0, role=BASELINE)
    writer.trials.fail("unlucky", 0, Failure("out_of_memory", "no memory left", "trace"))
    with served(writer.name) as address, opened(browser, 390) as (page, complaints):
        for study in ("young", "unlucky"):
            for path in PAGES:
                page.goto(f"{address}{path}?study={study}")
                page.locator("main section").first.wait_for()
                if path in FIGURES:
                    wait_for_figures(page)
        page.goto(f"{address}/history?study=unlucky")
        page.get_by_text("no memory left").wait_for()
        page.goto(f"{address}/?study=unlucky")
        page.get_by_role("link", name="Why they failed").click()
        page.get_by_text("no memory left").wait_for()
        assert complaints == []


@pytest.mark.timeout(240)
def test_a_marker_opens_its_card_and_the_text_is_copied(writer, browser):
    with served(writer.name, "done") as address, opened(browser) as (page, complaints):
        page.goto(address)
        wait_for_figures(page)
        # The last marker that is drawn lies on top and can be hit.
        marker = page.locator("#page .plot").first.locator(".points path").last
        card = page.locator(".trial-card")
        for _ in range(20):  # the page still moves while its texts arrive
            box = marker.bounding_box()
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            page.wait_for_timeout(1000)
            if card.count():
                break
        card.wait_for()
        text = card.locator(".copied").first.inner_text()
        assert text in TEXTS
        card.get_by_role("button", name="Copy").first.click()
        wait_until(page, "document.body.innerText.includes('Copied')")
        assert page.evaluate("navigator.clipboard.readText()") == text
        number = int(re.search(r"trial=(\d+)", page.url)[1])
        assert f"--pick {number}" in card.inner_text()
        page.keyboard.press("Escape")
        card.wait_for(state="detached")
        assert "trial=" not in page.url
        assert complaints == []


@pytest.mark.timeout(240)
def test_the_focus_goes_to_a_card_and_back_and_the_page_stays_where_it_is(writer, browser):
    with served(writer.name, "done") as address, opened(browser) as (page, _):
        page.goto(address)
        link = page.locator(".text table a").first
        link.wait_for()
        wait_for_figures(page)
        link.focus()
        focused = "document.activeElement.textContent"
        name = page.evaluate(focused)
        page.evaluate("window.scrollTo(0, 400)")
        page.keyboard.press("Enter")
        page.locator(".trial-card h2").wait_for()
        wait_until(page, f"{focused} === 'Close'")
        page.wait_for_timeout(300)
        page.keyboard.press("Escape")
        page.locator(".trial-card").wait_for(state="detached")
        wait_until(page, f"{focused} === {name!r}", 10)
        page.set_viewport_size({"width": 390, "height": 800})
        page.wait_for_timeout(700)
        link.scroll_into_view_if_needed()
        top = link.bounding_box()["y"]
        for element in (link, page.locator("#close-card")):
            element.click()
            page.wait_for_timeout(500)
            assert abs(link.bounding_box()["y"] - top) < 30
        assert "trial=" not in page.url


@pytest.mark.timeout(240)
def test_new_epochs_and_trials_appear_without_a_reload(writer, browser):
    with served(writer.name, "young") as address, opened(browser) as (page, complaints):
        page.goto(address)
        page.get_by_text("No complete trial yet").first.wait_for()
        page.evaluate("window.loadedOnce = true")
        writer.leases.acquire("young")
        writer.trials.start("young", 0, parse(TEXTS[0]), seed=0, role=BASELINE)
        writer.epochs.record("young", 0, epoch(1, 0.321))
        page.get_by_text("trial 0: epoch 1, 32.1 %").wait_for()
        writer.trials.finish("young", 0, result(0.5, 1000))
        for number in (1, 2):
            run_trial(writer, "young", number, TEXTS[number])
        # Zoomed in, the next trial leaves the zoom alone. (All three are drawn before: a figure
        # that is redrawn during the drag itself loses it.)
        graph = "document.querySelector('main .js-plotly-plot')"
        for name in ("baselines", "cbam"):
            wait_until(page, f"({graph} || {{data: []}}).data.some(t => t.name === '{name}')")
        page.get_by_text("3 trials done").wait_for()
        drag = page.locator("main .plot").first.locator(".nsewdrag").bounding_box()
        for place, act in ((0.2, page.mouse.down), (0.7, page.mouse.up)):
            x, y = drag["x"] + place * drag["width"], drag["y"] + place * drag["height"]
            page.mouse.move(x, y, steps=5)
            act()
        zoomed = page.evaluate(f"{graph}.layout.xaxis.range")
        run_trial(writer, "young", 3, TEXTS[3])
        page.get_by_text("4 trials done").wait_for()
        wait_until(page, f"{graph}.data.some(trace => trace.name === 'eca')")
        assert page.evaluate(f"{graph}.layout.xaxis.range") == zoomed
        assert page.evaluate("window.loadedOnce")
        assert complaints == []


@pytest.mark.timeout(240)
def test_pages_are_reached_behind_the_path_of_a_proxy(writer, browser):
    base = BasePath.of("/user/me/proxy/1/")
    with served(writer.name, "done", base=base) as address, opened(browser) as (page, complaints):
        page.goto(f"{address}/?trial=10")
        page.locator(".trial-card").wait_for()
        page.get_by_role("link", name="Effects").click()
        page.locator("nav .here", has_text="Effects").wait_for()  # The page before has figures too.
        wait_for_figures(page)
        assert page.url.partition("?")[0] == f"{address}/effects"
        assert complaints == []


@pytest.mark.timeout(240)
def test_filters_are_restored_from_the_address(writer, browser):
    with served(writer.name) as address, opened(browser) as (page, complaints):
        page.goto(f"{address}/nowhere?study=done&attention=foo&cost=beauty&colour=red")
        for part in ("no page '/nowhere'", "no cost 'beauty'", "attention foo", "colour=red"):
            page.locator("#unknown", has_text=part).wait_for()
        page.goto(f"{address}/?study=done&cost=macs&log=1&attention=se&colour=ratio")
        page.get_by_text("3 of 5 architectures pass").or_(
            page.get_by_text("2 of 5 architectures pass")
        ).wait_for()
        wait_for_figures(page)
        graph = "document.querySelector('main .js-plotly-plot')"
        assert page.evaluate(f"{graph}.layout.xaxis.type") == "log"
        assert "Multiply-adds" in page.evaluate(f"{graph}.layout.xaxis.title.text")
        controls = page.locator(".controls")  # Dash fetches what fills them when it is needed
        for text in ("Multiply-adds", "logarithmic"):
            controls.get_by_text(text).first.wait_for()
        assert complaints == []


@pytest.mark.timeout(240)
def test_names_and_messages_are_shown_as_text(writer, browser):
    engine = sqlalchemy.create_engine(writer.url)
    with engine.begin() as connection:
        rename = sqlalchemy.update(StudyRow).where(StudyRow.name == "done")
        connection.execute(rename.values(name=HOSTILE, backbone=HOSTILE))
    engine.dispose()
    with served(writer.name, HOSTILE) as address, opened(browser) as (page, complaints):
        for path in FIGURES:
            page.goto(f"{address}{path}")
            wait_for_figures(page)
        page.goto(f"{address}/history")
        page.locator("main code", has_text=HOSTILE).wait_for()
        assert page.locator("img[src=x]").count() == 0
        page.goto(f"{address}/?trial=10")
        page.locator(".trial-card pre.message", has_text=HOSTILE).wait_for()
        assert complaints == []


@pytest.mark.timeout(240)
def test_a_figure_is_saved_with_its_data(writer, browser):
    with served(writer.name, "done") as address, opened(browser) as (page, _):
        page.goto(address)
        wait_for_figures(page)
        for kind, begins in (
            ("CSV", b"number,architecture,key,seed,"),
            ("SVG", b"<svg"),
            ("PNG", b"\x89PNG"),
        ):
            with page.expect_download() as waited:
                page.locator("main .plot").first.get_by_role("button", name=kind).click()
            saved = waited.value.path().read_bytes()
            assert saved.startswith(begins)
            if kind == "CSV":
                assert b"resnet18" in saved
                assert b"s4.attention" in saved
        page.goto(f"{address}/history")
        wait_for_figures(page)
        head = saved_data(page, "learning-curves").partition(b"\n")[0].strip()
        assert head == b"\xef\xbb\xbfseries,Epoch,Validation accuracy (%),trial,label"


@pytest.mark.timeout(240)
def test_an_unknown_study_names_those_there_are(writer, browser):
    with served(writer.name) as address, opened(browser) as (page, _):
        page.goto(f"{address}/?study=nowhere")
        page.get_by_text("There is no study 'nowhere'").wait_for()
        page.get_by_role("link", name="done").click()
        page.get_by_text("over the bare backbone").first.wait_for()


@pytest.mark.timeout(240)
def test_a_page_says_that_the_server_the_study_or_the_database_is_gone(writer, browser):
    with served(writer.name, "done") as address, opened(browser) as (page, _):
        page.goto(f"{address}/compare?study=done&with=young")
        page.get_by_text("11 trials done").wait_for()
        page.get_by_role("link", name="Confirmation").wait_for()
        page.context.set_offline(True)
        problem = page.get_by_text("The server of this page does not answer")
        problem.wait_for()
        page.get_by_role("link", name="Confirmation").click()
        page.context.set_offline(False)
        page.get_by_text("Nothing has been confirmed yet").wait_for()
        problem.wait_for(state="detached")
        writer.delete_study("done")
        page.get_by_text("There is no study 'done'").wait_for()
        assert page.locator("#status").inner_text() == ""
        Path(writer.name).unlink()
        page.get_by_text("was removed, moved or replaced").wait_for()


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_filters_selection_and_marks_stay_from_page_to_page(writer, browser):
    with served(writer.name, "done") as address, opened(browser) as (page, complaints):
        page.goto(f"{address}/trials")
        page.get_by_text("1 to 11 of 11 trials").wait_for()
        assert page.title() == "11 trials done · done · attentune"
        page.get_by_role("link", name="Parameters").click()
        page.locator("th[aria-sort=ascending]", has_text="Parameters").wait_for()
        page.locator(".controls input[type=search]").fill("se s3")
        page.get_by_text("4 of 11 trials pass").wait_for()
        page.locator(".trials tbody td", has_text="complete").first.click()
        page.locator(".trial-card h2").wait_for()
        page.get_by_role("button", name="Star").click()
        page.locator(".trial-card [aria-pressed=true]").wait_for()
        page.get_by_role("link", name="Add tags or a note").click()
        page.locator("#mark-tags").fill("promising")
        run_trial(writer, "done", 11, TEXTS[3], seed=7)  # A new trial does not touch what is typed.
        page.get_by_text("12 trials done").wait_for()
        assert page.locator("#mark-tags").input_value() == "promising"
        page.get_by_role("button", name="Save").click()
        page.locator(".trials .selected", has_text="promising").wait_for()
        for name in ("Effects", "History", "Two architectures", "Pareto front"):
            page.get_by_role("link", name=name).click()
            page.locator("nav .here", has_text=name).wait_for()
            wait_for_figures(page)
            for part in ("search=se+s3", "sort=params", "trial="):
                assert part in page.url
        page.get_by_text("5 of 12 trials pass").wait_for()
        page.get_by_role("link", name="Clear the filters").click()
        page.locator(".passing").wait_for(state="detached")
        assert complaints == []


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_box_on_an_axis_and_a_click_on_a_cell_set_filters(writer, browser):
    with served(writer.name, "done") as address, opened(browser) as (page, complaints):
        page.goto(f"{address}/trials")
        wait_for_figures(page)
        figure = page.locator(".plot", has=page.locator("[data-save=trials]")).last
        figure.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        drag = figure.locator(".nsewdrag").bounding_box()
        axes = page.evaluate("document.querySelector('main .js-plotly-plot').layout.xaxis.range[1]")
        right = drag["x"] + drag["width"] * (axes - 0.4 + 0.4) / (axes + 0.4)  # The result's axis.
        for x, height, act in ((-20, 0.02, page.mouse.down), (20, 0.5, page.mouse.up)):
            page.mouse.move(right + x, drag["y"] + height * drag["height"], steps=5)
            act()
        page.locator(".passing a.tag", has_text="Accuracy").wait_for()
        assert "range=score" in page.url
        page.locator(".passing a.tag").click()
        page.goto(f"{address}/effects")
        wait_for_figures(page)
        cell = page.locator("main .plot .nsewdrag").first.bounding_box()
        page.mouse.click(cell["x"] + 0.9 * cell["width"], cell["y"] + 0.1 * cell["height"])
        page.locator(".passing").wait_for()
        assert re.search(r"attention=\w+&stage=s4", page.url)
        assert complaints == []
