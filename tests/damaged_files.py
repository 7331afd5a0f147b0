"""Ways in which a file of tensors that attentune wrote can be damaged, for tests of what reads it.

`DAMAGES` have a wrong checksum, or are no files at all: what power cuts, disks, copies and users
leave. `FORGERIES` have a right checksum and facts or tensors that this version never writes.
All take the path of a whole file, a checkpoint or the weights of a finished trial.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from attentune.runners.training.tensor_file import read_metadata, write_tensors
from safetensors.torch import load_file

Damage = Callable[[Path], None]
PAGE_BYTES = 4096


class Content(bytearray):
    """The bytes of a safetensors file."""

    @property
    def end(self) -> int:
        """The number of bytes before the tensors."""
        return 8 + int.from_bytes(self[:8], "little")


def edit(change: Callable[[Content], bytes | bytearray]) -> Damage:
    """Damage that replaces the bytes of a file by others."""

    def damage(path: Path) -> None:
        path.write_bytes(change(Content(path.read_bytes())))

    return damage


def write(content: bytes) -> Damage:
    """Damage that replaces the bytes of a file by these."""
    return lambda path: path.write_bytes(content) and None


def flip(find: Callable[[Content], int]) -> Damage:
    """Damage of one bit of the byte that `find` chooses."""

    def change(content: Content) -> Content:
        content[find(content)] ^= 4
        return content

    return edit(change)


def zero(find: Callable[[Content], slice]) -> Damage:
    """Damage that leaves zeros in a part of the file, as a power cut does."""

    def change(content: Content) -> Content:
        part = find(content)
        content[part] = bytes(len(content[part]))
        return content

    return edit(change)


def replace(make: Callable[[Path], object]) -> Damage:
    """Damage that deletes the file and makes something else in its place."""

    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def exchange_pages(content: Content) -> Content:
    first, second = slice(content.end, content.end + 512), slice(len(content) - 512, len(content))
    content[first], content[second] = content[second], content[first]
    return content


def header(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text


def make_full_folder(path: Path) -> None:
    path.mkdir()
    (path / "file").write_text("x")


DAMAGES: dict[str, Damage] = {
    "empty": write(b""),
    "cut in the length": edit(lambda content: content[:4]),
    "cut in the header": edit(lambda content: content[: content.end // 2]),
    "cut after the header": edit(lambda content: content[: content.end]),
    "cut in the tensors": edit(lambda content: content[: (content.end + len(content)) // 2]),
    "last byte missing": edit(lambda content: content[:-1]),
    "bytes appended": edit(lambda content: content + b"more"),
    "all zero": zero(lambda content: slice(0, len(content))),
    "tensors zero": zero(lambda content: slice(content.end, len(content))),
    "second half zero": zero(lambda content: slice(len(content) // 2, len(content))),
    "first page zero": zero(lambda _: slice(0, PAGE_BYTES)),
    "last page zero": zero(lambda content: slice(len(content) - PAGE_BYTES, len(content))),
    "one page of tensors zero": zero(lambda content: slice(content.end, content.end + PAGE_BYTES)),
    "pages exchanged": edit(exchange_pages),
    "bit of the length": flip(lambda _: 1),
    "bit of the metadata": flip(lambda content: content.index(b"accuracy") + 14),
    "bit of the checksum": flip(lambda content: content.index(b'"crc32":"') + 10),
    "bit of a tensor's name": flip(lambda content: content.index(b'"dtype"') - 4),
    "bit of the first tensor": flip(lambda content: content.end),
    "bit in the middle": flip(lambda content: (content.end + len(content)) // 2),
    "last bit": flip(lambda content: len(content) - 1),
    "header of 2^63 bytes": edit(lambda content: b"\xff" * 7 + b"\x7f" + content[8:]),
    "header of 90 MB": edit(lambda content: (9 * 10**7).to_bytes(8, "little") + content[8:]),
    "header longer than the file": edit(
        lambda content: (len(content) + 1).to_bytes(8, "little") + content[8:]
    ),
    "deeply nested header": write(header(b"[" * 100_000)),
    "header of a number": write(header(b"7")),
    "header without metadata": write(header(b"{}")),
    "metadata of a number": write(header(b'{"__metadata__":7}')),
    "random bytes": edit(lambda content: os.urandom(len(content))),
    "text": write(b"hello " * 1000),
    "pickle": write(pickle.dumps({"weights": [1, 2, 3]})),
    "empty folder": replace(Path.mkdir),
    "full folder": replace(make_full_folder),
    "link to nothing": replace(lambda path: path.symlink_to("nothing")),
    "link to itself": replace(lambda path: path.symlink_to(path.name)),
    "link to a device": replace(lambda path: path.symlink_to("/dev/zero")),
    "named pipe": replace(os.mkfifo),
}
"""By name. Every one must be refused."""


def change_file(
    path: Path,
    *,
    facts: Callable[[Any], Any] = lambda facts: facts,
    tensors: Callable[[dict[str, torch.Tensor]], object] = lambda _: None,
) -> None:
    """Change the facts or the tensors of a file and give it a right checksum."""
    metadata, values = read_metadata(path), load_file(path)
    key = "facts" if "facts" in metadata else "trial"
    changed = facts(json.loads(metadata[key]))
    metadata[key] = changed if isinstance(changed, str) else json.dumps(changed)
    tensors(values)
    write_tensors(path, values, {name: metadata[name] for name in metadata if name != "crc32"})


def with_fact(*keys: str, value: Any) -> Damage:
    """A forgery that sets the fact under these keys, or deletes it if `value` is `...`."""

    def change(facts: dict[str, Any]) -> dict[str, Any]:
        inner = facts
        for key in keys[:-1]:
            inner = inner[key]
        if value is ...:
            del inner[keys[-1]]
        else:
            inner[keys[-1]] = value
        return facts

    return lambda path: change_file(path, facts=change)


def with_facts(value: Any) -> Damage:
    """A forgery with other facts; a text need not be JSON."""
    return lambda path: change_file(path, facts=lambda _: value)


def with_tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    """A forgery whose tensors `change` has changed in place."""
    return lambda path: change_file(path, tensors=change)


def shorten(tensors: dict[str, torch.Tensor]) -> None:
    name = max(tensors, key=lambda name: tensors[name].numel())
    tensors[name] = tensors[name][:-1].clone()


def spoil(value: float) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        name = max(tensors, key=lambda name: tensors[name].numel())
        tensors[name].view(-1)[0] = value

    return change


FORGERIES: dict[str, Damage] = {
    "facts of another type": with_facts([1, 2]),
    "facts that are no JSON": with_facts("{"),
    "facts nested deeply": with_facts("[" * 100_000),
    "facts of a huge number": with_facts("9" * 10_000),
    "no facts": with_facts({}),
    "another trial": with_fact("identity", value="0" * 64),
    "identity missing": with_fact("identity", value=...),
    "identity is a number": with_fact("identity", value=7),
    "report missing": with_fact("report", value=...),
    "report is a text": with_fact("report", value="good"),
    "report has one more fact": with_fact("report", "extra", value=1),
    "accuracy missing": with_fact("report", "accuracy", value=...),
    "accuracy above one": with_fact("report", "accuracy", value=7.5),
    "accuracy below zero": with_fact("report", "accuracy", value=-0.5),
    "accuracy nan": with_fact("report", "accuracy", value=float("nan")),
    "accuracy is a text": with_fact("report", "accuracy", value="0.9"),
    "loss infinite": with_fact("report", "val_loss", value=float("inf")),
    "loss null": with_fact("report", "train_loss", value=None),
    "epoch of a billion": with_fact("report", "epoch", value=10**9),
    "epoch zero": with_fact("report", "epoch", value=0),
    "epoch negative": with_fact("report", "epoch", value=-1),
    "epoch is a fraction": with_fact("report", "epoch", value=1.5),
    "epoch is true": with_fact("report", "epoch", value=True),
    "epoch is a text": with_fact("report", "epoch", value="1"),
}
"""By name, for checkpoints and weights. Every one must be refused."""

CHECKPOINT_FORGERIES: dict[str, Damage] = {
    **FORGERIES,
    "another format": with_fact("format", value=2),
    "format missing": with_fact("format", value=...),
    "seconds negative": with_fact("seconds", value=-1.0),
    "seconds infinite": with_fact("device_seconds", value=float("inf")),
    "seconds missing": with_fact("seconds", value=...),
    "micro-batches missing": with_fact("micro_batches", value=...),
    "no micro-batch": with_fact("micro_batches", value=0),
    "the last epoch": with_fact("report", "epoch", value=2),
    "training epoch of a billion": with_fact("epoch", value=10**9),
    "training epoch negative": with_fact("epoch", value=-3),
    "training epoch is a text": with_fact("epoch", value="1"),
    "training epoch missing": with_fact("epoch", value=...),
    "steps of the average": with_fact("average_steps", value=10**6),
    "optimizer missing": with_fact("optimizer", value=...),
    "optimizer of other names": with_fact("optimizer", value=[["exp"]]),
    "optimizer is a number": with_fact("optimizer", value=3),
    "no tensors": with_tensors(dict.clear),
    "one more tensor": with_tensors(lambda tensors: tensors.update(more=torch.ones(3))),
    "a tensor too short": with_tensors(shorten),
    "a tensor in two dimensions": with_tensors(
        lambda tensors: tensors.update({n: t[None] for n, t in tensors.items()})
    ),
    "a tensor of another type": with_tensors(
        lambda tensors: tensors.update({n: t.double() for n, t in tensors.items()})
    ),
    "nan inside": with_tensors(spoil(float("nan"))),
    "infinity inside": with_tensors(spoil(float("inf"))),
}
"""By name, for the checkpoint after the first of two epochs. Every one must be refused."""

RESULT_FORGERIES: dict[str, Damage] = {
    **FORGERIES,
    "result missing": with_fact("result", value=...),
    "result null": with_fact("result", value=None),
    "accuracy of the result": with_fact("result", "accuracy", value=0.123),
    "accuracy of the result nan": with_fact("result", "accuracy", value=float("nan")),
    "epochs of the result": with_fact("result", "epochs", value=1),
    "costs missing": with_fact("result", "costs", value=...),
    "parameters negative": with_fact("result", "costs", "params", value=-1),
    "parameters of a fraction": with_fact("result", "costs", "params", value=1.5),
    "environment is a list": with_fact("result", "environment", value=["torch"]),
    "environment has numbers": with_fact("result", "environment", value={"torch": 2}),
    "the epoch before": with_fact("report", "epoch", value=1),
}
"""By name, for the weights of a trial of two epochs. Every one must be refused."""
