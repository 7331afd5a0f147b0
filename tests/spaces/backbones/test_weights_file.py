"""Files of weights as people have them: wrapped, prefixed, or with another head."""

from __future__ import annotations

import logging

import pytest
import torch
from attentune.errors import AttentuneError
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.backbones.weights_digest import check_digest, compute_digest
from attentune.spaces.backbones.weights_file import load_weights_file
from attentune.spaces.networks.build import create_model
from safetensors.torch import save_file


def backbone(name: str = "test_resnet", num_classes: int = 5, **options):
    return import_timm().create_model(name, num_classes=num_classes, **options)


@pytest.fixture(scope="module")
def state():
    """The weights of a network for 37 classes."""
    return backbone(num_classes=37).state_dict()


def load(content, folder, model=None):
    """Load what `torch.save` writes; returns the model and the report."""
    model = backbone() if model is None else model
    torch.save(content, folder / "w.pth")
    return model, load_weights_file(model, folder / "w.pth")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model_state_dict": state, "optimizer": {"state": {}}},
        lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}},
        lambda state: {"state_dict": {f"module.backbone.{k}": v for k, v in state.items()}},
        lambda state: {f"_orig_mod.module.{k}": v for k, v in state.items()},
        lambda state: {"epoch": 3, "model_ema": state, "model": {"fc.bias": torch.zeros(37)}},
        lambda state: {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
    ],
    ids=["model_state_dict", "lightning", "nested", "compiled", "ema", "half"],
)
def test_what_wraps_a_state_is_taken_off(wrap, state, tmp_path):
    model, report = load(wrap(state), tmp_path)
    torch.testing.assert_close(
        model.state_dict()["layer4.0.conv2.weight"],
        state["layer4.0.conv2.weight"],
        rtol=1e-3,
        atol=1e-3,
    )
    assert (report.missing, report.unexpected) == ((), ())
    assert set(report.head) == {"fc.weight", "fc.bias"}


def test_a_head_for_other_classes_is_left_out_and_one_for_as_many_is_loaded(
    state, tmp_path, caplog
):
    caplog.set_level(logging.INFO, "attentune")
    model, _ = load(state, tmp_path)
    assert model.fc.out_features == 5
    assert "the head is new" in caplog.messages[-1]
    same, report = load(state, tmp_path, backbone(num_classes=37))
    assert torch.equal(same.fc.weight, state["fc.weight"])
    assert report.head == ()


def test_missing_and_unexpected_keys_are_reported(state, tmp_path, caplog):
    changed = {k: v for k, v in state.items() if not k.startswith("layer1.0.conv1")}
    changed["layer1.0.bn1.attention.se.fc1.weight"] = torch.ones(2, 2)
    _, report = load(changed, tmp_path)
    assert report.missing == ("layer1.0.conv1.weight",)
    assert report.unexpected == ("layer1.0.bn1.attention.se.fc1.weight",)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    for key in (*report.missing, *report.unexpected):
        assert key in record.getMessage()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"layer9.weight": torch.ones(3)}, "those of another network; 0% of the backbone"),
        ({"epoch": 3}, "holds no tensors by name"),
        ([torch.ones(3)], "holds no tensors by name"),
        (torch.ones(3), "holds no tensors by name"),
    ],
)
def test_a_file_that_fits_nothing_is_refused(content, message, tmp_path):
    with pytest.raises(AttentuneError, match=rf"weights in .*w.pth could not be .*: .*{message}"):
        load(content, tmp_path)


def test_values_that_are_not_finite_are_refused(state, tmp_path):
    broken = {**state, "layer1.0.conv1.weight": state["layer1.0.conv1.weight"] * float("nan")}
    with pytest.raises(AttentuneError, match=r"layer1.0.conv1.weight has values that are not"):
        load(broken, tmp_path)


def test_position_embeddings_are_resized_as_timm_does_it(tmp_path):
    trained = backbone("test_vit", img_size=160).state_dict()
    _, report = load(trained, tmp_path, backbone("test_vit", img_size=96))
    assert report.missing == ()


def test_create_model_takes_the_path_of_a_file(state, tmp_path):
    save_file(state, tmp_path / "w.safetensors")
    text = "test_resnet+se(r=4,start=identity)@all.residual"
    model = create_model(text, weights=str(tmp_path / "w.safetensors"), num_classes=3)
    assert torch.equal(model.layer3[0].conv2.weight, state["layer3.0.conv2.weight"])
    features = create_model(text, weights=tmp_path / "w.safetensors", features_only=True)
    assert torch.equal(features.layer3[0].conv2.weight, state["layer3.0.conv2.weight"])
    grey = create_model("test_resnet", weights=tmp_path / "w.safetensors", in_chans=1)
    summed = state["conv1.0.weight"].sum(1, keepdim=True)
    torch.testing.assert_close(grey.conv1[0].weight, summed)


def test_another_file_of_the_same_name_is_noticed(tmp_path):
    file = tmp_path / "w.pth"
    file.write_bytes(b"weights")
    digest = compute_digest(file)
    check_digest(file, digest)
    check_digest(file, None)
    file.write_bytes(b"others!")
    with pytest.raises(AttentuneError, match="other weights than those that the study began with"):
        check_digest(file, digest)
    file.unlink()
    with pytest.raises(AttentuneError, match="there is no file of weights"):
        check_digest(file, digest)
