"""An attention from a package that is really installed, or a module named by the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attentune.spaces.attentions.catalogue import ATTENTIONS

PACKAGE = '''
import torch
from torch import nn

class Wave(nn.Module):
    """Wave attention."""
    def __init__(self, channels, reduction_ratio=8, waves: int = 2):
        super().__init__()
        self.fc = nn.Linear(channels, channels, bias=False)
    def forward(self, x):
        return x * self.fc(x.mean((2, 3))).sigmoid()[:, :, None, None]
'''
PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "attentune-wave"
version = "1.2"
[project.entry-points."attentune.attentions"]
wave = "attentune_wave:Wave"
broken = "attentune_wave:Missing"
absent = "attentune_nowhere:Wave"
[tool.setuptools]
py-modules = ["attentune_wave"]
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder in which the package attentune-wave 1.2 is installed."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "attentune_wave.py").write_text(PACKAGE)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([*pip, *flags, str(source)], check=True, capture_output=True)
    return target


def python(code: str, *, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1", **environment}
    words = [sys.executable, "-c", code]
    return subprocess.run(words, env=variables, capture_output=True, text=True)


def test_installed_package_is_listed_without_being_imported_and_built_by_name(installed):
    code = """
import sys, attentune
from attentune.spaces.attentions.plugins import register
assert register.list_registered()["wave"] == "attentune-wave 1.2 (attentune_wave:Wave)"
assert not {"torch", "attentune_wave"} & set(sys.modules)
import torch
text = "test_resnet+wave(r=4)@all.residual"
model = attentune.create_model(text, num_classes=3, image_size=64, seed=0).eval()
assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
assert "attentune_wave" in sys.modules
assert register.origins_of(["se", "wave"]) == {"wave": "attentune-wave 1.2 (attentune_wave:Wave)"}
"""
    done = python(code, path=installed)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken", "AttributeError"),
        ("absent", "ModuleNotFoundError: No module named 'attentune_nowhere'"),
    ],
)
def test_package_that_cannot_be_imported_is_reported_by_name(installed, name, words):
    code = f"""
from attentune.errors import AttentuneError
from attentune.spaces.architecture import parse
try:
    parse("resnet18+{name}@all.mid")
except AttentuneError as error:
    print(error)
"""
    output = python(code, path=installed).stdout
    assert f"the attention {name!r} of attentune-wave 1.2" in output
    assert words in output


def test_command_line_shows_and_measures_it(installed):
    code = "import sys; sys.argv = ['attentune', *{}]; import attentune.__main__ as m; m.main()"
    listing = python(code.format(["attentions"]), path=installed, COLUMNS="80").stdout
    assert "wave, from attentune-wave 1.2 (attentune_wave:Wave)" in listing
    for entry in ATTENTIONS.values():  # each on one line of 80 characters
        (line,) = [line for line in listing.splitlines() if line.startswith(f"{entry.name} ")]
        assert entry.title in line
        assert entry.paper.rpartition(" ")[2] in line
    shown = python(code.format(["attentions", "wave"]), path=installed).stdout
    assert "Wave attention." in shown
    assert "attentune-wave 1.2" in shown
    words = ["measure", "test_resnet+wave@all.residual", "--no-latency", "--json"]
    assert '"params"' in python(code.format(words), path=installed).stdout
