"""The project as a package: what the wheel holds, which way imports go, what is public."""

from __future__ import annotations

import ast
import graphlib
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import attentune
import pytest

ROOT = Path(attentune.__file__).resolve().parent
LAYERS = ("spaces", "runners", "studies", "search")
ONLY = {
    "optuna": {"search"},
    "sqlalchemy": {"studies"},
    "alembic": {"studies"},
    "plotly": {"studies"},
    "typer": {"search"},
    "rich": {"search"},
}
"""Libraries that belong to one folder."""


def imports(file: Path) -> list[tuple[str, ...]]:
    """Everything a file imports, as absolute module paths in parts."""
    package = file.relative_to(ROOT).parent.parts
    found: list[tuple[str, ...]] = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            prefix = ("attentune", *base) if node.level else ()
            module = (*prefix, *(node.module or "").split(".")) if node.module else prefix
            found += [(*module, alias.name) for alias in node.names]
    return found


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", LAYERS)
def test_folders_import_one_way(folder):
    above = LAYERS[LAYERS.index(folder) + 1 :]
    for file in files(folder):
        for module in imports(file):
            wrong = module[0] == "attentune" and len(module) > 1 and module[1] in above
            assert not wrong, f"{file.relative_to(ROOT)} imports {'.'.join(module)}"


def group(path: Path) -> str:
    """The group of a file or module path: its folder's sub-package, or the folder's own values."""
    parts = path.parts
    return "/".join(parts[:2]) if len(parts) > 2 or (ROOT / path).is_dir() else parts[0]


def groups_of_imports(file: Path) -> set[str]:
    """The groups that a file imports, its own left out."""
    reached = set()
    for module in imports(file):
        if module[0] != "attentune" or len(module) < 3 or module[1] not in LAYERS:
            continue
        path = Path(*module[1:])
        while not ((ROOT / path).is_dir() or (ROOT / path).with_suffix(".py").exists()):
            path = path.parent
        reached.add(group(path if (ROOT / path).is_dir() else path.with_suffix(".py")))
    return reached - {group(file.relative_to(ROOT))}


def test_groups_import_one_another_without_a_cycle():
    graph: dict[str, set[str]] = {}
    for folder in LAYERS:
        # The folder `search` hands a call to what lies in it, and nothing imports it for that.
        for file in set(files(folder)) - {ROOT / "search" / "__init__.py"}:
            graph.setdefault(group(file.relative_to(ROOT)), set()).update(groups_of_imports(file))
    # The ground floor of a folder reads no sub-package of it, but for the text of an architecture,
    # which has to know what attentions are called.
    assert graph["spaces"] - {"spaces/attentions"} == set()
    graph["spaces"] -= {"spaces/attentions"}
    for folder in LAYERS:
        assert not {name for name in graph[folder] if name.startswith(f"{folder}/")}
    try:
        list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"groups import one another in a circle: {' -> '.join(error.args[1])}")


DATA_GROUPS = ("", "files", "sources", "prepared", "examination")
"""The groups of runners/data; its own modules are values."""


def test_the_groups_of_data_import_one_way():
    folder = ROOT / "runners" / "data"
    for number, name in enumerate(DATA_GROUPS):
        later = {("attentune", "runners", "data", other) for other in DATA_GROUPS[number + 1 :]}
        for file in (folder / name).glob("*.py"):
            if file.name != "__init__.py":
                wrong = {module[:4] for module in imports(file)} & later
                assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


def test_every_package_belongs_to_a_layer_and_is_declared():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    packages = {
        ".".join(("attentune", *file.parent.relative_to(ROOT).parts))
        for folder in LAYERS
        for file in (ROOT / folder).rglob("__init__.py")
    }
    assert set(declared["packages"]) == {"attentune", *packages}
    for folder in LAYERS:
        for file in files(folder):
            assert (file.parent / "__init__.py").exists(), f"{file.parent} is no package"


@pytest.mark.parametrize("library", ONLY)
def test_a_library_stays_in_its_folder(library):
    for folder in set(LAYERS) - ONLY[library]:
        for file in files(folder):
            named = {module[0] for module in imports(file)}
            assert library not in named, f"{file.relative_to(ROOT)} imports {library}"


def test_the_training_loop_knows_neither_optuna_nor_the_database():
    files_of_training = files("runners/training")
    assert files_of_training
    named = {module[:2] for file in files_of_training for module in imports(file)}
    assert not {("attentune", "studies"), ("attentune", "search")} & named


def test_the_public_surface_is_small_and_loads():
    assert len(attentune.__all__) <= 12
    for name in attentune.__all__:
        assert getattr(attentune, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = attentune.nothing  # type: ignore[attr-defined]


def test_importing_the_package_is_cheap():
    code = "import attentune, sys; assert not {'torch', 'optuna', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # what an earlier build left would go in
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run([*words, str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"attentune"}
    inside = {"/".join(name.split("/")[1:]) for name in names if name.startswith("attentune/")}
    wanted = {str(f.relative_to(ROOT)) for folder in LAYERS for f in files(folder)}
    wanted |= {
        "__init__.py",
        "__main__.py",
        "py.typed",
        "cache_folders.py",
        "errors.py",
        "files.py",
        "followers.py",
        "interrupts.py",
        "named_objects.py",
        "machine_faults.py",
        "sanitize.py",
        "toml_files.py",
        "standard_streams.py",
    }
    wanted |= {
        str(f.relative_to(ROOT))
        for f in (ROOT / "spaces" / "search_space" / "presets").glob("*.toml")
    }
    wanted |= {
        str(f.relative_to(ROOT)) for f in (ROOT / "studies" / "outputs" / "templates").iterdir()
    }
    assets = ROOT / "studies" / "dashboard" / "assets"
    wanted |= {str(f.relative_to(ROOT)) for f in assets.iterdir()}
    assert inside == wanted


def test_the_installed_wheel_runs_from_elsewhere(wheel, tmp_path):
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    code = (
        "import sys, attentune; assert attentune.__file__.startswith(sys.argv[1])\n"
        "from attentune.search.cli import main\n"
        "sys.argv = ['attentune', 'measure', 'test_resnet+se@all.residual', '--no-latency']\n"
        "main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(target)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "test_resnet+se(r=16)@all.residual" in done.stdout
