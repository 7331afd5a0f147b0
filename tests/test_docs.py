"""The documents name only what exists: commands, options, files; every command is documented."""

from __future__ import annotations

import doctest
import importlib
import re
import runpy
import shlex
import tomllib
from pathlib import Path

import attentune
import pytest
import typer
from attentune.runners.workers.pool import POOLS
from attentune.search.cli import app
from attentune.search.setup.request import SearchRequest, read_request
from attentune.search.setup.settings_from_fields import search_settings
from attentune.spaces.search_space.space import Space
from chaos.attacks import ATTACKS

ROOT = Path(attentune.__file__).resolve().parent
DOCS = sorted(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md"))
PAGES = ["README.md", "README.zh.md", "CONTRIBUTING.md", *DOCS]
GUIDE = (ROOT / "docs" / "guide.md").read_text("utf-8")
GUIDE_PAGES = ["guide.md", *re.findall(r"\]\((\w+\.md)\)", GUIDE)]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def shown_commands() -> list[str]:
    commands = []
    for page in PAGES:
        text = (ROOT / page).read_text("utf-8").replace("\\\n", " ")
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.S | re.M):
            lines = re.findall(r"^attentune .*$", block, re.M) if language in ("", "bash") else []
            commands += [line.split("  #")[0].strip() for line in lines]
    return commands


@pytest.mark.parametrize("line", shown_commands())
def test_a_command_that_is_shown_exists_with_its_options(line):
    words = shlex.split(line)
    command = COMMANDS[words[1]]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known
    command.make_context(words[1], [word for word in words[2:] if word != "…"])


@pytest.mark.parametrize("page", PAGES)
def test_a_command_that_a_sentence_names_exists_with_its_options(page):
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text("utf-8"), flags=re.S | re.M)
    for command in re.findall(r"`attentune ([a-z][^`]*)`", text):
        verb, *words = command.split()
        known = {option for parameter in COMMANDS[verb].params for option in parameter.opts}
        known |= {option for p in COMMANDS[verb].params for option in p.secondary_opts}
        assert {word.strip("[]") for word in words if re.match(r"\[?-", word)} <= known, command


@pytest.mark.parametrize(
    "line", [line for line in shown_commands() if line.startswith("attentune search ")]
)
def test_a_search_that_is_shown_is_a_valid_request(line, monkeypatch):
    monkeypatch.chdir(ROOT)  # A command may name a file of the repository.
    words = [word for word in shlex.split(line)[2:] if word != "…"]
    parsed = COMMANDS["search"].make_context("search", words).params
    settings = {name: value or None for name, value in parsed.items()}
    for name in ("study", "follow", "db"):
        settings.pop(name)
    config = settings.pop("config")
    assert read_request(settings, config).backbone


def test_the_commands_of_the_demo_exist_with_their_options():
    makefile = (ROOT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    commands = re.findall(r"\$\(BIN\)/attentune (\w+) ([^>;\n]*)", makefile)
    assert [verb for verb, _ in commands] == ["show", "resume", "search", "confirm", "report"]
    for verb, words in commands:
        known = {option for parameter in COMMANDS[verb].params for option in parameter.opts}
        assert {word for word in words.split() if word.startswith("--")} <= known, verb


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name):
    assert f"attentune {name}" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text("utf-8")):
        assert ((ROOT / page).parent / target).exists(), target


OPTIONS_OF_RAY = ("--address", "--disable-usage-stats", "--generate", "--head")


@pytest.mark.parametrize("page", GUIDE_PAGES)
def test_options_named_in_the_guide_exist(page):
    known = {o for c in COMMANDS.values() for p in c.params for o in (*p.opts, *p.secondary_opts)}
    known |= {"--debug", *OPTIONS_OF_RAY}
    text = (ROOT / "docs" / page).read_text("utf-8")
    assert set(re.findall(r"(--[a-z][a-z-]+)", text)) <= known


def test_the_table_of_settings_is_the_generated_one():
    script = runpy.run_path(str(ROOT / "docs" / "settings_table.py"))
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert "| `--image-size` |" in page
    assert script["with_table"](page) == page, "run python docs/settings_table.py"


def test_every_setting_is_described():
    settings = {setting.name: setting for setting in search_settings()}
    assert settings.keys() == SearchRequest.model_fields.keys()
    for setting in settings.values():
        assert re.fullmatch(r"\S.*\.", setting.meaning), setting.name
    for pool in POOLS:
        assert pool in settings["pool"].meaning


def test_the_space_in_the_guide_is_valid():
    text = (ROOT / "docs" / "spaces.md").read_text("utf-8")
    block = re.search(r"```toml\n(.*?)```", text, re.S)
    assert block
    assert Space.of(**tomllib.loads(block[1])).granularity == "stage"


EXAMPLES = [
    ".".join(("attentune", *file.relative_to(ROOT).with_suffix("").parts))
    for folder in (".", "spaces/**", "runners/**", "studies/**", "search/**")
    for file in sorted(ROOT.glob(f"{folder}/*.py"))
    if "    >>> " in file.read_text("utf-8")
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_in_docstrings_are_true(name):
    outcome = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert outcome.failed == 0 < outcome.attempted


def test_files_named_in_the_documents_exist():
    missing = {
        f"{page}: {path}"
        for page in PAGES
        for path in re.findall(r"`([a-z]+/[\w/.-]+\.\w+)`", (ROOT / page).read_text("utf-8"))
        if "NAME" not in path and not (ROOT / path).exists()
    }
    assert not missing


def test_the_guarantees_name_tests_and_attacks_that_exist():
    text = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", text))
    assert len(named) > 40
    missing = [
        f"{path}::{test}"
        for path, test in sorted(named)
        if not re.search(rf"^def {test}\(", (ROOT / path).read_text("utf-8"), re.M)
    ]
    assert not missing
    promised = {
        name
        for names in re.findall(r"attacks? ((?:`[a-z-]+`(?:, )?)+)", text)
        for name in re.findall(r"`([a-z-]+)`", names)
    }
    assert promised == {attack.name for attack in ATTACKS}


def test_the_example_is_a_request_that_leaves_nothing_to_be_measured():
    request = read_request({}, ROOT / "examples" / "demo.toml")
    measured = ("lr", "precision", "memory_format", "stem")
    assert not [name for name in measured if request.is_open(name)]
