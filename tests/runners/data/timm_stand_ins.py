"""Stand-ins for the data sets that timm opens: one for each way in which they can be read."""

from __future__ import annotations

from types import SimpleNamespace

from .image_files import SHADES, plain_image


class IndexedSet:
    """As torchvision's sets: an index, `targets`, `classes`."""

    def __init__(self, count: int, first: int) -> None:
        self.classes = sorted(SHADES)
        self.targets = [number % 3 for number in range(count)]
        self.first = first

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int):
        name = self.classes[self.targets[index]]
        return plain_image(SHADES[name], self.first + index, (32, 32)), self.targets[index]


class TableColumns(dict):
    column_names = ("image", "label")


class TableSet:
    """As timm's reader of Hugging Face sets: a table with a column of labels."""

    def __init__(self, count: int, first: int) -> None:
        self.inner = IndexedSet(count, first)
        self.reader = SimpleNamespace(
            dataset=TableColumns(label=self.inner.targets),
            label_key="label",
            class_to_idx={"owls": 2, "cats": 0, "dogs": 1},
        )

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int):
        return self.inner[index]


class StreamedSet:
    """As timm's reader of TensorFlow sets: only a stream."""

    def __init__(self, count: int, first: int) -> None:
        self.inner = IndexedSet(count, first)

    def __iter__(self):
        return (self.inner[index] for index in range(len(self.inner)))
