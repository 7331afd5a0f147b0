"""An ONNX file gives the logits of the exported model on real files, and says what its input is."""

from __future__ import annotations

import json
import re
import shutil
import sys

import attentune
import numpy as np
import onnx
import pytest
import torch
from attentune.errors import StoreError, UsageError
from attentune.runners.data.preprocessing import Preprocessing, ValueRange
from attentune.studies.outputs import export, onnx_model
from attentune.studies.outputs.onnx_model import ONNX_FILE, run_onnx, write_onnx
from small_export import CLASSES, SIZE, write_small_export
from unusual_images import write_unusual_images

CARD = {
    "study": "photos",
    "trial": 3,
    "seed": 0,
    "data": "photos",
    "epochs": 1,
    "judged_on": "validation",
    "values": {"accuracy": 0.5, "params": 1, "macs": 1},
}


@pytest.mark.slow
def test_onnxruntime_gives_the_logits_of_the_model_on_files(tmp_path, monkeypatch):
    preprocessing = Preprocessing(
        SIZE, "pad", "bilinear", (9, 9, 9), ValueRange(0, 4095), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    )
    folder = write_small_export(
        tmp_path / "model", preprocessing=preprocessing.to_json(), recipe={"mirror": True}
    )
    model = attentune.load(folder)
    write_onnx(model, folder / ONNX_FILE)
    stored = {p.key: json.loads(p.value) for p in onnx.load(folder / ONNX_FILE).metadata_props}
    assert stored.pop("classes") == list(CLASSES)
    assert stored.pop("attentune")
    assert stored.pop("architecture") == model.attentune["architecture"]
    assert Preprocessing.from_json(stored) == preprocessing
    files = [
        file
        for kind in ("wide", "turned", "transparent", "deep")
        for file in sorted(write_unusual_images(tmp_path / kind, kind, 1).glob("*/*"))
    ]
    inputs = torch.stack([model.preprocess(file) for file in files])
    with torch.no_grad():
        expected = ((model(inputs) + model(inputs.flip(3))) / 2).numpy()
    logits = run_onnx(folder / ONNX_FILE, inputs.numpy())
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)

    # The code on the card, which needs neither attentune nor torch.
    shutil.copyfile(export.preprocessing.__file__, folder / "preprocessing.py")
    card = export.model_card({**model.attentune, **CARD}, with_onnx=True)
    code = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[1]
    assert "attentune" not in code
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    for file, row in zip(files, expected, strict=True):
        names: dict[str, np.ndarray] = {}
        exec(code.replace('"image.png"', repr(str(file))), names)
        np.testing.assert_allclose(names["logits"][0], row, rtol=1e-4, atol=1e-5)
    sys.modules.pop("preprocessing", None)


def test_other_outputs_are_refused(tmp_path, monkeypatch):
    model = attentune.load(write_small_export(tmp_path / "model"))
    monkeypatch.setattr(onnx_model, "_convert", lambda *_: onnx.ModelProto())
    monkeypatch.setattr(onnx_model, "run_onnx", lambda *_: np.full((3, 2), 7.0))
    with pytest.raises(StoreError, match="onnxruntime gives other outputs"):
        write_onnx(model, tmp_path / "model.onnx")


def test_a_missing_package_is_named_with_what_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_model, "find_spec", lambda name: None if name == "onnx" else name)
    with pytest.raises(UsageError, match=r"needs onnx; .*attentune\[onnx\]"):
        write_onnx(torch.nn.Identity(), tmp_path / "model.onnx")
