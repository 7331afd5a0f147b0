"""predict: one line an image, JSON for programs, and a sentence for each file that is no image."""

from __future__ import annotations

import json

from command_line import attentune
from PIL import Image
from small_export import CLASSES, write_small_export


def test_images_are_predicted_and_each_bad_file_has_its_sentence(tmp_path):
    write_small_export(tmp_path / "model")
    (tmp_path / "photos").mkdir()
    Image.effect_noise((50, 40), 60).save(tmp_path / "photos" / "a.jpg")
    Image.new("LA", (9, 70)).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"no image")
    done = attentune("predict", "model", "photos", "b.png", cwd=tmp_path)
    first, second = done.stdout.splitlines()
    assert first.startswith("photos/a.jpg: ")
    assert second.startswith("b.png: ")
    assert " %, " in first
    assert not done.stderr
    words = ["predict", "model", "c.png", "absent.jpg", "b.png"]
    done = attentune(*words, "--json", cwd=tmp_path, check=1)
    broken, absent, good = json.loads(done.stdout)
    assert good["file"] == "b.png"
    assert good["class"] in CLASSES
    assert set(good["probabilities"]) == set(CLASSES)
    assert abs(sum(good["probabilities"].values()) - 1) < 1e-6
    assert broken == {"file": "c.png", "error": broken["error"]}
    assert "c.png cannot be read (not an image in a known format)" in broken["error"]
    assert "absent.jpg cannot be read (No such file or directory)" in absent["error"]
    assert done.stderr.count("Error: ") == 2


def test_what_is_assumed_of_an_old_export_is_a_note(tmp_path):
    folder = write_small_export(tmp_path / "model", mean=[0.5] * 3, std=[0.2] * 3)
    facts = json.loads((folder / "architecture.json").read_text())
    del facts["preprocessing"]
    (folder / "architecture.json").write_text(json.dumps(facts))
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    done = attentune("predict", "model", "a.png", cwd=tmp_path)
    assert "did not store how images were made" in done.stderr
    assert done.stdout.startswith("a.png: ")
    refused = attentune("predict", "absent", "a.png", cwd=tmp_path, check=1)
    assert "is not an exported model" in refused.stderr
    attentune("predict", "model", cwd=tmp_path, check=2)
