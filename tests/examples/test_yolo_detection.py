"""Ultralytics' trainer as in the example, and what it does to networks, with attention in them."""

from __future__ import annotations

import copy
import io
import socket
from importlib.util import find_spec
from pathlib import Path

import attentune
import pytest
import torch
from attentune.benchmarks.scattered_digits import write_detection_data
from attentune.named_objects import load_named_object
from attentune.runners.events import Decision, EpochDone, Stopped

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ultralytics") is None, reason="needs ultralytics"),
]

TRAIN = "examples/yolo_detection.py:train"
BARE = "yolo_detection:make_model"
ATTENDED = f"{BARE}+cbam(r=4,start=identity)@{{model.16}}.post+se(r=4)@s3-s4.residual"
FIELDS = {"image_size": 64, "in_chans": 3}
METRIC = "map50_95:max:%"
PLACES = ["@all.residual", "@all.pre", "@all.identity", "@s1-s8.stage", "@{model.10}.post"]
PLACES += ["@{model.23.cv2.0.0}.post"]
ROOT = Path(attentune.__file__).resolve().parent
IMAGE = torch.zeros(1, 3, 64, 64)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    return write_detection_data(folder, {"train": 16, "val": 8, "test": 8}, 64)


@pytest.fixture(autouse=True)
def offline(data, tmp_path_factory, monkeypatch):
    """The settings of the example; whoever uses the network fails."""

    def refuse(*arguments, **_):
        raise AssertionError(f"the network is used: {arguments}")

    monkeypatch.setenv("YOLO_DATA", str(data))
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(data.parent))
    monkeypatch.setenv("YOLO_TRAIN", '{"batch": 8, "nbs": 8, "workers": 0, "warmup_epochs": 0}')
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def network():
    """Makes YOLO11n, in evaluation mode."""

    def network(name="yolo11n.yaml"):
        load_named_object("examples/yolo_detection.py:make_model", ROOT)  # Its settings.
        from ultralytics.nn.tasks import DetectionModel

        torch.manual_seed(0)
        return DetectionModel(name, ch=3, nc=2, verbose=False).eval()

    return network


def weights_of(folder, name="last.pt"):
    content = torch.load(folder / "files/run/weights" / name, weights_only=False)
    return (content["ema"] or content["model"]).state_dict()


def reported_epochs(events):
    return [event.report.epoch for event in events if isinstance(event, EpochDone)]


def test_the_attention_of_a_trial_is_trained_and_validated(play, tmp_path, data):
    events = play(TRAIN, text=ATTENDED, metric=METRIC, **FIELDS)
    assert reported_epochs(events) == [1, 2]
    assert {"map50", "precision", "recall"} <= events[-1].result.metrics.keys()
    keys = weights_of(tmp_path / "trial").keys()
    assert len([key for key in keys if "attention" in key]) > 8
    # The settings are beside the data, and all else is in the folder of the trial.
    assert {path.name for path in data.parent.iterdir()} == {
        "Ultralytics", "data.yaml", "images", "labels",
    }  # fmt: skip
    assert not any((tmp_path / "trial/files").rglob("*.png"))


def test_without_attention_it_is_the_training_that_users_write(play, tmp_path, data):
    events = play(TRAIN, text=BARE, metric=METRIC, **FIELDS)
    from ultralytics import YOLO

    YOLO("yolo11n.yaml").train(
        data=data, epochs=2, imgsz=64, batch=8, nbs=8, workers=0, warmup_epochs=0, patience=0,
        seed=0, device="cpu", pretrained=False, plots=False, project=tmp_path / "usual/files",
        name="run",
    )  # fmt: skip
    usual, weights = weights_of(tmp_path / "usual"), weights_of(tmp_path / "trial")
    assert usual.keys() == weights.keys()
    assert all(torch.equal(usual[key], weights[key]) for key in usual)
    assert events[-1].result.metrics["map50"] >= 0


def test_an_interrupted_training_goes_on_with_its_attention(play, tmp_path):
    fields = {"text": ATTENDED, "metric": METRIC, "epochs": 3, **FIELDS}
    events = play(TRAIN, decisions={1: Decision.PAUSE}, **fields)
    assert isinstance(events[-1], Stopped)
    file = tmp_path / "trial/files/run/weights/last.pt"
    content = torch.load(file, weights_only=False)
    state = content["ema"].state_dict()
    key = next(name for name in state if "model.16" in name and name.endswith("fc1.weight"))
    state[key].add_(10)
    torch.save(content, file)
    events = play(TRAIN, **fields)
    assert reported_epochs(events) == [2, 3]
    last = weights_of(tmp_path / "trial")
    assert last.keys() == state.keys()
    assert last[key].min() > 8  # It goes on from the weights in the file.


def test_a_finished_training_is_validated_only(play, tmp_path):
    play(TRAIN, text=BARE, metric=METRIC, **FIELDS)
    (tmp_path / "trial/result.json").unlink(missing_ok=True)
    events = play(TRAIN, text=BARE, metric=METRIC, **FIELDS)
    assert "map50_95" in events[-1].result.metrics


def test_trained_weights_load_with_ultralytics(play, tmp_path):
    play(TRAIN, text=ATTENDED, metric=METRIC, **FIELDS)
    from ultralytics import YOLO

    model = YOLO(tmp_path / "trial/files/run/weights/best.pt")
    results = model.predict(torch.rand(1, 3, 64, 64), imgsz=64, verbose=False)
    assert len(results) == 1
    file = model.export(format="onnx", imgsz=64, simplify=False)
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    images = torch.rand(1, 3, 64, 64)
    [exported] = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.no_grad():
        expected = model.model.float().eval()(images)[0]
    torch.testing.assert_close(torch.from_numpy(exported), expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("place", PLACES)
def test_attention_survives_what_ultralytics_does_to_networks(network, place):
    model = network()
    state, bare = model.state_dict(), model(IMAGE + 0.5)[0]
    attentune.insert(model, f"se(r=4,start=identity){place}", IMAGE, seed=0)
    # Keys of pretrained weights are unmoved, and nothing changes at first.
    incompatible = model.load_state_dict(state, strict=False)
    assert not incompatible.unexpected_keys
    assert all("attention" in key for key in incompatible.missing_keys)
    assert torch.equal(model(IMAGE + 0.5)[0], bare)
    model.train()(torch.rand(1, 3, 64, 64))  # A batch of one image, as probes of memory have it.
    model.eval().double()
    images = torch.rand(2, 3, 64, 64).double()
    before = model(images)[1]["boxes"]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "attention" in name:
                parameter.add_(2.0)
    expected = model(images)[1]["boxes"]
    effect = (expected - before).abs().max().item()
    assert effect > 1e-8
    stream = io.BytesIO()
    torch.save(copy.deepcopy(model), stream)
    stream.seek(0)
    loaded = torch.load(stream, weights_only=False)
    assert torch.equal(loaded(images)[1]["boxes"], expected)
    fused = loaded.fuse(verbose=False)(images)[1]["boxes"]
    torch.testing.assert_close(fused, expected, rtol=0, atol=effect / 1000)


def test_there_are_no_places_inside_what_ultralytics_fuses(network):
    with pytest.raises(attentune.AttentuneError, match=r"no module model\.0\.bn"):
        attentune.insert(network(), "se(r=4)@{model.0.bn}.post", IMAGE)
