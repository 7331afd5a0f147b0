"""code: what is printed can be run; what cannot be printed is said in a sentence."""

from __future__ import annotations

import sys

import pytest


def test_code_is_printed_or_written_to_a_file(run_here, tmp_path):
    exit_code, printed = run_here("code", "se(r=4)")
    assert exit_code == 0
    compile(printed, "printed.py", "exec")
    assert "arXiv 1709.01507" in printed
    exit_code, message = run_here("code", "se(r=4)", "-o", "folder/attention.py")
    assert (exit_code, message) == (0, "Wrote folder/attention.py\n")
    assert (tmp_path / "folder" / "attention.py").read_text("utf-8") == printed


def test_attention_goes_into_a_network_of_ones_own(run_here, tmp_path):
    (tmp_path / "my_networks.py").write_text(
        "import torch\ndef make():\n    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3))\n"
    )
    words = ("--model", "my_networks:make", "--input", "1x8x8")
    exit_code, printed = run_here("code", "se(r=2)@{0}.post", *words)
    assert exit_code == 0
    assert '("0", 4),' in printed
    sys.modules.pop("my_networks", None)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["cban"], "did you mean 'cbam'"),
        (["resnet18"], "for a network, write resnet18+se"),
        (["se", "--input", "3x8x8"], "--model"),
        (["se", "-o", "."], ". is a folder; name a file in it, such as code.py"),
        (["se@{0}.post", "--model", "nothing:make"], "cannot be imported"),
        (["resnet18+se@s9.residual"], "its stages are s1 to s4"),
    ],
)
def test_bad_input_gets_a_sentence(run_here, words, sentence):
    exit_code, printed = run_here("code", *words)
    assert exit_code == 2
    assert sentence in printed
