"""A small exported model that is not trained, for tests of what is done with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attentune.runners.data.preprocessing import Preprocessing
from attentune.runners.training.tensor_file import write_tensors
from attentune.sanitize import json_text
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network

TEXT = "test_resnet+eca@all.residual"
SIZE = 32
CLASSES = ("disc", "ring")


def write_small_export(folder: Path, **facts: Any) -> Path:
    """Write a model of two classes into a folder; `facts` replace those of its manifest."""
    model = build_network(parse(TEXT), num_classes=len(CLASSES), image_size=SIZE, seed=0)
    preprocessing = Preprocessing(SIZE, mean=(0.1, 0.2, 0.3), std=(0.2, 0.3, 0.4))
    manifest = {
        "format": 1,
        "attentune": "0.1.0",
        "architecture": TEXT,
        "key": "abcdefabcdef",
        "num_classes": len(CLASSES),
        "classes": list(CLASSES),
        "image_size": SIZE,
        "stem": "native",
        "preprocessing": preprocessing.to_json(),
        "recipe": {},
        **facts,
    }
    folder.mkdir()
    write_tensors(folder / "model.safetensors", model.state_dict(), {"format": "pt"})
    (folder / "architecture.json").write_text(json_text(manifest))
    return folder
