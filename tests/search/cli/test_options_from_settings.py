"""Options are made from settings, and are None unless they are given."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from attentune.search.cli.options_from_settings import plan_options, search_options
from attentune.search.setup.settings_from_fields import search_settings
from typer.testing import CliRunner


def run(decorate, *words: str):
    """Exit code and output of a command whose options `decorate` makes, and what it was given."""
    calls: list[dict[str, Any]] = []
    app = typer.Typer()

    @app.command()
    @decorate
    def command(study: str, db: str = "", **settings: Any) -> None:
        calls.append({"study": study, "db": db, **settings})

    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.output, calls


def test_an_option_that_is_not_given_is_none():
    code, _, [settings] = run(search_options, "mine")
    assert code == 0
    assert settings.pop("study") == "mine"
    assert settings.pop("db") == ""
    assert settings.keys() == {setting.name for setting in search_settings()}
    assert not any(settings.values())


def test_options_are_read_by_the_kind_of_their_setting():
    words = ["--epochs", "3", "--warmup", "0.1", "--lr", "auto", "--max-params", "5M"]
    words += ["--attention", "se", "--attention", "eca", "--ratio", "8"]
    words += ["--no-flip", "--mirror", "--skip-broken"]
    code, output, [settings] = run(search_options, "mine", *words)
    assert code == 0, output
    assert (settings["epochs"], settings["warmup"]) == (3, 0.1)
    assert (settings["lr"], settings["max_params"]) == ("auto", "5M")
    assert (settings["attention"], settings["ratio"]) == (["se", "eca"], [8])
    assert (settings["flip"], settings["mirror"], settings["skip_broken"]) == (False, True, True)
    assert settings["cuda_graph"] is None


@pytest.mark.parametrize("words", [["--epochs", "many"], ["--no-skip-broken"], ["--nothing"]])
def test_what_is_no_option_or_no_value_is_refused(words):
    code, _, calls = run(search_options, "mine", *words)
    assert (code, calls) == (2, [])


def test_a_command_may_take_some_settings_which_then_stay_unchanged():
    code, _, [settings] = run(plan_options("trials", "budget"), "mine", "--trials", "9")
    assert code == 0
    assert settings == {"study": "mine", "db": "", "trials": 9, "budget": None}
    _, output, _ = run(plan_options("trials", "budget"), "--help")
    assert output.count("Default: unchanged.") == 2


def test_a_command_without_settings_is_refused():
    def command(study: str, db: str = "") -> None:
        del study, db

    with pytest.raises(TypeError, match="must end with"):
        search_options(command)
