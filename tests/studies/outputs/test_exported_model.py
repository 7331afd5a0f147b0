"""An exported model is loaded whole, or refused in a sentence."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import attentune
import pytest
import torch
from attentune.errors import AttentuneError
from attentune.runners.data.preprocessing import Preprocessing
from attentune.runners.training.tensor_file import read_tensors, write_tensors
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network
from attentune.studies.outputs.exported_model import compute_sha256
from damaged_files import DAMAGES, edit, shorten, spoil, write
from safetensors.torch import save_file

TEXT = "test_resnet+eca@all.residual"
FACTS = {
    "format": 1,
    "attentune": "0.1.0",
    "architecture": TEXT,
    "plugins": {},
    "num_classes": 10,
    "image_size": 32,
    "stem": "native",
    "mean": [0.1, 0.2, 0.3],
    "std": [0.2, 0.3, 0.4],
    "preprocessing": Preprocessing(32, mean=(0.1, 0.2, 0.3), std=(0.2, 0.3, 0.4)).to_json(),
    "classes": [str(number) for number in range(10)],
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder as `export` writes it."""
    folder = tmp_path_factory.mktemp("exported")
    state = build_network(parse(TEXT), num_classes=10, image_size=32, seed=0).state_dict()
    write_tensors(folder / "model.safetensors", state, {"accuracy": "0.9"})
    facts = {**FACTS, "weights_sha256": compute_sha256(folder / "model.safetensors")}
    (folder / "architecture.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture
def folder(exported, tmp_path):
    """A copy that a test may damage."""
    return Path(shutil.copytree(exported, tmp_path / "model"))


def check_refused(folder):
    """Loading raises one of our errors, in one or two sentences with a next step."""
    with pytest.raises(AttentuneError) as refused:
        attentune.load(folder)
    message = str(refused.value)
    assert len(message) < 700
    assert str(folder) in message
    assert any(step in message for step in ("attentune export", "upgrade", "install")), message
    return message


def test_a_whole_export_is_loaded(folder):
    model = attentune.load(folder)
    assert model.attentune["classes"][3] == "3"
    state = read_tensors(folder / "model.safetensors")
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_an_export_of_a_version_without_checksums_is_loaded(folder):
    save_file(read_tensors(folder / "model.safetensors"), folder / "model.safetensors")
    (folder / "architecture.json").write_text(json.dumps(FACTS))
    assert attentune.load(folder).attentune == FACTS


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_weights_are_refused(damage, folder):
    damage(folder / "model.safetensors")
    check_refused(folder)


def change_weights(folder, change, *, with_checksum):
    """Change the tensors in place; without a checksum as a version before checksums wrote them."""
    path = folder / "model.safetensors"
    tensors = read_tensors(path)
    change(tensors)
    facts = dict(FACTS)
    if with_checksum:
        write_tensors(path, tensors, {})
        facts["weights_sha256"] = compute_sha256(path)
    else:
        save_file(tensors, path)
    (folder / "architecture.json").write_text(json.dumps(facts))


TENSORS = {
    "no tensor": dict.clear,
    "one is missing": lambda tensors: tensors.pop("fc.bias"),
    "one more": lambda tensors: tensors.update(more=torch.ones(3)),
    "another shape": shorten,
    "another type": lambda tensors: tensors.update({"fc.bias": tensors["fc.bias"].double()}),
    "not a number": spoil(float("nan")),
    "a hostile name": lambda tensors: tensors.update({"\x1b[2J" + "x" * 9999: torch.ones(1)}),
}


@pytest.mark.parametrize("change", TENSORS.values(), ids=TENSORS)
@pytest.mark.parametrize("with_checksum", [True, False])
def test_weights_that_do_not_fit_are_refused(change, with_checksum, folder):
    change_weights(folder, change, with_checksum=with_checksum)
    assert "\x1b" not in check_refused(folder)


def test_other_weights_in_place_of_the_exported_ones_are_refused(folder):
    state = build_network(parse(TEXT), num_classes=10, image_size=32, seed=1).state_dict()
    write_tensors(folder / "model.safetensors", state, {})
    assert "other weights than were exported" in check_refused(folder)


def set_fact(name, value):
    def damage(path):
        facts = json.loads(path.read_text())
        facts[name] = value
        path.write_text(json.dumps(facts))

    return damage


MANIFESTS = {
    "missing": Path.unlink,
    "empty": write(b""),
    "cut": edit(lambda content: content[: len(content) // 2]),
    "not UTF-8": write(b'{"format": "\xff"}'),
    "zeros": write(bytes(500)),
    "a list": write(b"[1, 2]"),
    "a number": write(b"7"),
    "nested deeply": write(b"[" * 10**6),
    "a huge number": write(b'{"format": ' + b"9" * 10_000 + b"}"),
    "no fact": write(b"{}"),
    "20 MB": write(b'{"format": 1, "architecture": "' + b"x" * 20_000_000 + b'"}'),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    "link to itself": lambda path: (path.unlink(), path.symlink_to(path.name)),
    "format of the future": set_fact("format", 99),
    "format is a text": set_fact("format", "1"),
    "format is infinite": set_fact("format", float("inf")),
    "architecture is a number": set_fact("architecture", 7),
    "architecture is null": set_fact("architecture", None),
    "architecture is empty": set_fact("architecture", ""),
    "architecture is unknown": set_fact("architecture", "resnet18+teleport@all.mid"),
    "backbone is unknown": set_fact("architecture", "no_such_backbone"),
    "another architecture": set_fact("architecture", "test_resnet+se(r=4)@all.residual"),
    "another backbone": set_fact("architecture", "resnet18"),
    "a stage that is not there": set_fact("architecture", "test_resnet+eca@s9.residual"),
    "classes are a text": set_fact("num_classes", "10"),
    "classes are negative": set_fact("num_classes", -1),
    "other classes": set_fact("num_classes", 3),
    "a billion classes": set_fact("num_classes", 10**9),
    "no image size": set_fact("image_size", None),
    "a huge image": set_fact("image_size", 10**9),
    "a fraction of an image": set_fact("image_size", 32.5),
    "another stem": set_fact("stem", "large"),
    "stem is a list": set_fact("stem", ["native"]),
    "plug-ins are a list": set_fact("plugins", ["a"]),
    "plug-in is missing": set_fact("plugins", {"wave": None}),
    "checksum is a number": set_fact("weights_sha256", 5),
    "another checksum": set_fact("weights_sha256", "0" * 64),
}


@pytest.mark.parametrize("damage", MANIFESTS.values(), ids=MANIFESTS)
def test_a_damaged_manifest_is_refused(damage, folder):
    damage(folder / "architecture.json")
    check_refused(folder)


def test_further_facts_of_a_later_version_do_no_harm(folder):
    set_fact("colour", {"deep": [1, 2]})(folder / "architecture.json")
    assert attentune.load(folder).attentune["colour"]


def test_a_folder_that_is_none_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "absent", tmp_path / "file", tmp_path):
        check_refused(path)


def test_no_single_bit_of_an_export_can_change_a_model(folder):
    """Bits at even distances through both files: the model is refused, or the same."""
    state = read_tensors(folder / "model.safetensors")
    for name, count in (("model.safetensors", 40), ("architecture.json", 40)):
        whole = (folder / name).read_bytes()
        for step in range(count):
            content = bytearray(whole)
            content[step * len(whole) // count] ^= 1 << step % 8
            (folder / name).write_bytes(content)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                # A name that is no longer "preprocessing" looks like an earlier version's export.
                warnings.filterwarnings("ignore", ".*did not store how images were made")
                try:
                    model = attentune.load(folder)
                except AttentuneError:
                    continue
            assert name == "architecture.json"
            assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
        (folder / name).write_bytes(whole)
