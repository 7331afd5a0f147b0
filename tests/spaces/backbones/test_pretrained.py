"""Pretrained weights: from the hub's cache, from a file, and plainly not at all."""

from __future__ import annotations

import pickle
import socket
from pathlib import Path

import pytest
import torch
from attentune.errors import AttentuneError
from attentune.spaces.architecture import parse
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.networks.build import build_network, create_model
from safetensors.torch import save_file
from torch import Tensor, nn

SIZE = 32
State = dict[str, Tensor]


def make(text: str, **options) -> nn.Module:
    options = {"num_classes": 5, "image_size": SIZE, **options}
    return build_network(parse(text), seed=3, **options).eval()


def published(backbone: str) -> State:
    """What a checkpoint on the hub holds: a plain network with 1000 classes, here at random."""
    torch.manual_seed(0)
    return import_timm().create_model(backbone).state_dict()


def assert_carries(model: nn.Module, state: State, *, head: str = "fc.") -> None:
    model_state = model.state_dict()
    for key, value in state.items():
        if not key.startswith(head):
            assert torch.equal(model_state[key], value), key


@pytest.fixture
def offline(monkeypatch):
    """No name can be resolved, and no proxy is set."""

    def refuse_lookup(*_: object, **__: object) -> None:
        raise socket.gaierror("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse_lookup)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub, and how a model gets into it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def put(tagged: str, state: State, name: str = "model.safetensors") -> None:
        revision = "0123456789abcdef0123456789abcdef01234567"
        folder = tmp_path / f"models--timm--{tagged}"
        for part in ("blobs", f"snapshots/{revision}", "refs"):
            (folder / part).mkdir(parents=True)
        (folder / "refs/main").write_text(revision)
        blob = folder / "blobs/beef"
        save_file(state, blob) if name.endswith(".safetensors") else torch.save(state, blob)
        (folder / f"snapshots/{revision}/{name}").symlink_to("../../blobs/beef")

    return put


# --- from the hub's cache -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("text", ["test_resnet", "test_resnet.r160_in1k+se(r=4)@all.residual"])
def test_what_is_in_the_hubs_cache_is_used_without_a_network(hub, offline, text, name):
    state = published("test_resnet")
    hub("test_resnet.r160_in1k", state, name)
    model = make(text, pretrained=True)
    assert_carries(model, state)
    assert model.fc.out_features == 5
    whole = create_model(text, pretrained=True, image_size=SIZE)
    assert torch.equal(whole.fc.weight, state["fc.weight"])


def test_an_identity_start_keeps_a_pretrained_network_exactly(hub, offline):
    state = published("test_resnet")
    trained = {key: value + 0.5 * (not value.any()) for key, value in state.items()}
    hub("test_resnet.r160_in1k", trained)  # no branch is closed by a zero
    positions = find_sites("test_resnet", image_size=SIZE).positions
    text = "".join(f"+cbam(r=4,start=identity)@all.{position}" for position in positions)
    plain = create_model("test_resnet", pretrained=True, image_size=SIZE).eval()
    model = create_model(f"test_resnet{text}", pretrained=True, image_size=SIZE).eval()
    x = torch.randn(2, 3, SIZE, SIZE)
    assert torch.equal(model(x), plain(x))
    # And training can leave that point: every last layer's gradient is not zero.
    model.train()(x).square().sum().backward()
    moved = [p.grad.abs().max() > 0 for k, p in model.named_parameters() if "fc2.weight" in k]
    assert moved
    assert all(moved)


def test_weights_go_in_before_the_backbones_own_attention_goes_out(hub, offline):
    state = published("test_efficientnet")
    hub("test_efficientnet.r160_in1k", state)
    model = make("test_efficientnet(attention=none)", pretrained=True)
    kept = {key: value for key, value in state.items() if ".se." not in key}
    assert len(kept) < len(state)
    assert_carries(model, kept, head="classifier.")
    model = make("test_efficientnet(attention=none@s4)", pretrained=True)
    kept = {key: value for key, value in state.items() if "blocks.3.0.se." not in key}
    assert len(kept) < len(state)
    assert_carries(model, kept, head="classifier.")


def test_weights_for_three_channels_serve_one(hub, offline):
    state = published("test_resnet")
    hub("test_resnet.r160_in1k", state)
    model = make("test_resnet+eca@all.mid", pretrained=True, in_chans=1)
    summed = state["conv1.0.weight"].sum(1, keepdim=True)
    torch.testing.assert_close(model.conv1[0].weight, summed)


def test_a_feature_extractor_keeps_the_weights(hub, offline):
    state = published("test_resnet")
    hub("test_resnet.r160_in1k", state)
    text = "test_resnet+se(r=4)@all.residual"
    features = create_model(text, pretrained=True, features_only=True)
    assert torch.equal(features.layer3[0].conv2.weight, state["layer3.0.conv2.weight"])


# --- from a file ----------------------------------------------------------------------------------


def _safetensors(state: State, folder: Path) -> Path:
    save_file(state, folder / "w.safetensors")
    return folder / "w.safetensors"


def _pth(state: object, folder: Path) -> Path:
    torch.save(state, folder / "w.pth")
    return folder / "w.pth"


@pytest.mark.parametrize(
    "write",
    [
        _safetensors,
        _pth,
        lambda state, folder: _pth({"state_dict": state, "epoch": 3}, folder),
        lambda state, folder: _pth({"model": state}, folder),
        lambda state, folder: _pth({f"module.{k}": v for k, v in state.items()}, folder),
    ],
    ids=["safetensors", "pth", "checkpoint", "model", "parallel"],
)
def test_a_local_file_goes_into_the_backbone_and_a_new_head_is_made(write, tmp_path, offline):
    state = published("test_resnet")
    text = "test_resnet+se(r=4)@all.residual"
    model = make(text, weights=write(state, tmp_path))
    assert_carries(model, state)
    assert model.fc.out_features == 5
    fresh = make(text).state_dict()
    key = next(k for k in fresh if k.endswith("attention.se.fc1.weight"))
    assert torch.equal(model.state_dict()[key], fresh[key])


def test_with_weights_the_small_stem_keeps_its_kernel(tmp_path):
    file = _safetensors(published("resnet18"), tmp_path)
    conv = make("resnet18", weights=file, stem="small").conv1
    assert (conv.kernel_size, conv.stride, conv.padding) == ((7, 7), (1, 1), (3, 3))


class Trap:
    """A pickle that would run code when it is read."""

    def __reduce__(self):
        return (Path.touch, (Path("sprung"),))


def test_a_file_of_weights_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"state_dict": Trap()}, protocol=2))
    with pytest.raises(AttentuneError, match=r"the weights in .*w.pth could not be loaded"):
        make("test_resnet", weights=tmp_path / "w.pth")
    assert not (tmp_path / "sprung").exists()


def test_weights_that_are_missing_or_do_not_fit_are_named(tmp_path):
    with pytest.raises(AttentuneError, match=r"no file of weights at .*nowhere"):
        make("resnet18", weights=tmp_path / "nowhere.pth")
    file = _safetensors(published("test_resnet"), tmp_path)
    with pytest.raises(AttentuneError, match=r"weights in .*w.safetensors could not be loaded"):
        make("resnet18", weights=file)
    file.write_bytes(b"no tensors")
    with pytest.raises(AttentuneError, match=r"weights in .*w.safetensors could not be loaded"):
        make("test_resnet", weights=file)


# --- not at all -----------------------------------------------------------------------------------


def test_without_a_network_and_a_cache_it_says_so_at_once(hub, offline):
    with pytest.raises(AttentuneError, match="test_resnet are not in the cache and the hub cannot"):
        create_model("test_resnet+se(r=4)@all.residual", pretrained=True)


def test_offline_mode_is_respected(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AttentuneError, match="not in the cache and the hub cannot be reached"):
        create_model("test_resnet", pretrained=True)


def test_a_model_without_published_weights_is_named():
    with pytest.raises(AttentuneError, match="publishes no weights for nf_resnet101"):
        create_model("nf_resnet101", pretrained=True)
