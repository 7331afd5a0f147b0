"""Modules that the environment variable ATTENTUNE_PLUGINS names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def python(code: str, *, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(path), "OMP_NUM_THREADS": "1", **environment}
    words = [sys.executable, "-c", code]
    return subprocess.run(words, env=variables, capture_output=True, text=True)


def test_module_named_by_the_environment_registers_by_decorator(tmp_path):
    decorated = "import attentune\n" + PACKAGE.replace(
        "class Wave", "@attentune.register_attention('ripple')\nclass Wave"
    )
    (tmp_path / "my_attention.py").write_text(decorated)
    code = """
from multiprocessing import get_context
from attentune.spaces.architecture import parse

def main():
    with get_context("spawn").Pool(1) as pool:  # a process that begins with nothing
        print(pool.apply(str, (pool.apply(parse, ("resnet18+ripple(r=4)@all.mid",)),)))

if __name__ == "__main__":
    main()
"""
    (tmp_path / "script.py").write_text(code)
    variables = {**os.environ, "PYTHONPATH": str(tmp_path), "ATTENTUNE_PLUGINS": "my_attention"}
    words = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(words, env=variables, capture_output=True, text=True)
    assert done.stdout.strip() == "resnet18+ripple(r=4)@all.mid", done.stderr
    missing = python(
        "from attentune.spaces.architecture import parse; parse('resnet18+ripple@all.mid')",
        path=tmp_path,
        ATTENTUNE_PLUGINS="my_atention",
    )
    assert "ATTENTUNE_PLUGINS names the module 'my_atention'" in missing.stderr
