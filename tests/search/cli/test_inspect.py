"""sites, attentions, measure: what is wrong is said in a sentence."""

from __future__ import annotations

import json
import sys

import pytest
from attentune.runners.results import Costs, Measurement
from attentune.search.cli import inspect
from attentune.spaces.architecture import parse

REFUSED = [
    ("measure resnet18+ecca@all.residual", 2, "           ^"),
    ("measure resnet18+se(r=1000)@all.residual", 2, "use r ≤ 64"),
    ("measure resnet18+se@s9.residual", 2, "its stages are s1 to s4"),
    ("measure vgg11+se@all.identity", 2, "no identity"),
    ("sites resnet19", 1, "did you mean"),
    ("sites vit_tiny_patch16_224", 1, "tokens"),
    ("attentions ecca", 2, "did you mean 'eca'"),
]


def test_a_measured_latency_is_shown_with_its_error_and_what_disturbed_it(capsys):
    costs = Costs(379_834, 4_105_184, 2.24, 1.346, 13.4, 0.18, 0.048)
    measurement = Measurement(parse("test_resnet+se@all.residual"), costs, "no core was idle")
    inspect._print_measurement(measurement, "cpu", 32)
    printed = capsys.readouterr().out
    assert "2.24 ± 0.18 ms per image on cpu" in printed
    assert "1.346 ± 0.048 × the bare backbone" in printed
    assert "measured on a busy machine: no core was idle" in printed


@pytest.mark.parametrize(("command", "code", "sentence"), REFUSED, ids=[r[0] for r in REFUSED])
def test_bad_input_gets_a_sentence_and_an_exit_code(run_here, tmp_path, command, code, sentence):
    exit_code, printed = run_here(*command.split(" "))
    assert exit_code == code, printed
    assert sentence in printed
    assert not list(tmp_path.glob("*.artifacts/*"))


NETWORKS = """
import torch

def make():
    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 8, 3))

def broken():
    raise ValueError("no file")

def nothing():
    pass
"""


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """A module in the current folder."""
    (tmp_path / "my_networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_networks", raising=False)
    yield
    sys.modules.pop("my_networks", None)


def test_sites_of_a_network_of_ones_own_are_listed(run_here, networks):
    code, printed = run_here("sites", "my_networks:make", "--input", "1x32x32", "--json")
    assert code == 0, printed
    sites = {(site["module"], site["position"]): site for site in json.loads(printed)}
    assert (sites["2", "post"]["channels"], sites["2", "post"]["height"]) == (8, 28)
    code, printed = run_here("sites", "my_networks:make", "--input", "1x32x32")
    assert code == 0, printed
    assert "@{2}.post" in printed


def test_a_network_may_be_made_in_a_file_of_another_folder(run_here, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "my-net.py").write_text(NETWORKS)
    words = ("--input", "1x32x32", "--json")
    for file in ("models/my-net.py", "./models/my-net.py", str(tmp_path / "models" / "my-net.py")):
        code, printed = run_here("sites", f"{file}:make", *words)
        assert code == 0, printed
        assert {site["module"] for site in json.loads(printed)} >= {"0", "2"}
    code, printed = run_here("sites", "models/net.py:make", *words)
    assert code == 2
    assert "cannot be imported (FileNotFoundError" in printed


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("sites my_networks:broken", "my_networks:broken raised ValueError: no file"),
        ("sites my_networks:nothing", "returns none, but a NoneType"),
        ("sites my_networks:mak", "did you mean 'make'"),
        ("sites no_such_module:make", "which cannot be imported"),
        ("sites my_networks:make --input 3x6", "cannot read '3x6'; write channels, height"),
        ("sites my_networks:make --input 0x6x6", "cannot read '0x6x6'"),
        ("sites my_networks:make", "does not run on the example"),
        ("sites my_networks:make --image-size 3", "use --input"),
        ("sites resnet18 --input 3x6x6", "for timm's models use --image-size"),
    ],
)
def test_what_is_wrong_with_a_network_of_ones_own_is_said(run_here, networks, command, sentence):
    code, printed = run_here(*command.split(" "))
    assert code in (1, 2), printed
    assert sentence in " ".join(printed.split())
