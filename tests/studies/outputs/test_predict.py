"""The classes of images by an exported model."""

from __future__ import annotations

import attentune
import pytest
import torch
from attentune.errors import DataError
from attentune.studies.outputs import predict
from attentune.studies.outputs.predict import (
    ImagePrediction,
    UnpredictedImage,
    list_images,
    predict_images,
)
from small_export import CLASSES, write_small_export
from unusual_images import write_unusual_images

CPU = torch.device("cpu")


def test_files_are_taken_as_they_are_and_folders_with_all_their_images(tmp_path):
    photos = write_unusual_images(tmp_path / "photos", "wide", 2)
    (photos / "notes.txt").write_text("x")
    absent = tmp_path / "absent.png"
    files, remarks = list_images([absent, photos])
    assert files == [absent, *(photos / c / f"{n}.png" for c in CLASSES for n in (0, 1))]
    (remark,) = remarks
    assert ".txt" in remark
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        list_images([tmp_path / "empty"])


@pytest.mark.parametrize("mirror", [False, True])
def test_probabilities_are_those_of_the_network(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "IMAGES_PER_BATCH", 2)
    photos = write_unusual_images(tmp_path / "photos", "turned", 2)
    model = attentune.load(write_small_export(tmp_path / "model", recipe={"mirror": mirror}))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    files, _ = list_images([photos])
    results = list(predict_images(model, [files[0], broken, *files[1:]], CPU))
    assert [result.file for result in results] == [files[0], broken, *files[1:]]
    assert isinstance(results.pop(1), UnpredictedImage)
    for file, result in zip(files, results, strict=True):
        assert isinstance(result, ImagePrediction)
        x = model.preprocess(file)[None]
        with torch.no_grad():
            logits = (model(x) + model(x.flip(3))) / 2 if mirror else model(x)
        expected = dict(zip(CLASSES, logits.softmax(1)[0].tolist(), strict=True))
        assert result.probabilities == pytest.approx(expected, abs=1e-5)
        assert result.class_name == max(expected, key=expected.__getitem__)
        first, second = result.probabilities.values()
        assert first >= second
