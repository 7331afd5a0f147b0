"""sites, attentions, measure: what is wrong is said in a sentence."""

from __future__ import annotations

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
