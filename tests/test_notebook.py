"""The notebook in `examples/`: it is small, names what exists, and runs from top to bottom.

The cells run in this process, and the last expression of each is kept as a kernel would show it. A
kernel (nbclient, ipykernel) would bring two dozen packages for the same check.
"""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import attentune
import pandas
import plotly.graph_objects as go
import pytest
from attentune.search.setup.settings_from_fields import search_settings

NOTEBOOK = Path(attentune.__file__).resolve().parent / "examples" / "search.ipynb"
MAX_BYTES = 20_000
CELLS = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]


def code_cells() -> list[str]:
    return ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, if that is an expression."""
    module = ast.parse(source)
    shown = module.body.pop() if isinstance(module.body[-1], ast.Expr) else None
    exec(compile(module, str(NOTEBOOK), "exec"), names)
    if shown is None:
        return None
    return eval(compile(ast.Expression(shown.value), str(NOTEBOOK), "eval"), names)


def test_the_notebook_is_small_and_has_no_outputs():
    assert NOTEBOOK.stat().st_size < MAX_BYTES
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in CELLS)
    assert len({cell["id"] for cell in CELLS}) == len(CELLS)


def test_the_notebook_names_settings_and_functions_that_exist():
    settings = {setting.name for setting in search_settings()} | {"db", "callbacks"}
    calls = 0
    for node in (n for source in code_cells() for n in ast.walk(ast.parse(source))):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "attentune":
            assert node.attr in attentune.__all__
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "attentune.search":
            calls += 1
            assert {keyword.arg for keyword in node.keywords} <= settings
    assert calls == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = [value for cell in code_cells() if (value := run_cell(cell, names)) is not None]
    assert [type(value) for value in shown] == [go.Figure] * 3 + [pandas.DataFrame] * 2
    assert all(figure.data for figure in shown[:3])
    assert len(shown[3]) == 10
    assert names["study"].summary in capsys.readouterr().out
    assert names["model"].attentune["classes"]
    shutil.rmtree(names["folder"])
