"""What a study was searched on, as a value that is stored with the study: `DataRecord`.

It lists the images of the data source by name and content, and says which of them were trained on
and which were held out. So an export, a confirmation or a resume does not depend on what the source
has become since: `recorded_data` compares the two.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....errors import DataError
from ...recipe import Recipe
from ..content_hashes import Hashes, decode_names, encode_names
from ..dataset import SPLITS, DataInfo, Labels, Rows, SplitName, Weights
from ..sources.source import SourceOptions
from ..sources.split_folders import FolderLayout
from .splits import RowSelection, SplitPlan

IMAGES_FILE = "images.npz"
"""The file beside prepared images that lists the images of their source."""
MAX_MEMBER_BYTES = 2**31
"""A larger array of a stored list of images is not read into memory."""
KEY_DIGITS = 24
SPLIT_SETTINGS = ("train_limit", "val_fraction", "data_seed", "fold")
"""Fields of the recipe that decide which images are in which split."""
_UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, IndexError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
)


@dataclass(frozen=True, eq=False)
class RecordedImages:
    """The images of one split of a source, in the order of its labels.

    Attributes:
        names: of the N images; see `ListedImages`.
        labels: (N,) numbers of classes.
        hashes: (N,) of their content; `UNKNOWN_HASH` for images that were not used.
        groups: (N,) numbers of groups that no split cuts; None if there are none.
        weights: (N,) factors of the training loss; None if all images count equally.
    """

    names: Sequence[str]
    labels: Labels
    hashes: Hashes
    groups: Rows | None = None
    weights: Weights | None = None


@dataclass(frozen=True, eq=False)
class ImageList:
    """All images of a source by split, and which of them are used.

    Attributes:
        images: by split of the source.
        plan: which of them make up the splits of the data.
    """

    images: Mapping[SplitName, RecordedImages]
    plan: SplitPlan

    @cached_property
    def digest(self) -> str:
        """A digest of the images in their order: names, labels, content, and splits."""
        digest = hashlib.sha256()
        for name, array in self.to_arrays().items():
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays that NumPy can store; `from_arrays` is the inverse."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        for split, listed in self.images.items():
            arrays[f"{split}.names"] = encode_names(listed.names)
            arrays[f"{split}.labels"] = listed.labels.astype(np.int32)
            arrays[f"{split}.hashes"] = listed.hashes
            if listed.groups is not None:
                arrays[f"{split}.groups"] = listed.groups.astype(np.int32)
            if listed.weights is not None:
                arrays[f"{split}.weights"] = listed.weights.astype(np.float64)
        for split, selection in self.plan.selections.items():
            arrays[f"{split}.rows.{selection.split}"] = selection.rows.astype(np.int32)
        arrays["held_out"] = encode_names(self.plan.held_out)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> ImageList:
        """Read what `to_arrays` wrote.

        Raises:
            KeyError, ValueError: the arrays are something else.
        """
        images: dict[SplitName, RecordedImages] = {}
        selections: dict[SplitName, RowSelection] = {}
        for split in SPLITS:
            if f"{split}.names" in arrays:
                names = decode_names(arrays[f"{split}.names"])
                labels = arrays[f"{split}.labels"].astype(np.int64)
                hashes = arrays[f"{split}.hashes"].astype(np.uint64)
                stored = arrays.get(f"{split}.groups")
                groups = None if stored is None else stored.astype(np.int64)
                weights = arrays.get(f"{split}.weights")
                columns = (names, labels, hashes, groups, weights)
                if len({len(column) for column in columns if column is not None}) != 1:
                    raise ValueError("the images of a split do not fit one another")
                images[split] = RecordedImages(names, labels, hashes, groups, weights)
        for split in SPLITS:
            (name,) = (name for name in arrays if name.startswith(f"{split}.rows."))
            origin = next(each for each in SPLITS if name.endswith(f".{each}"))
            rows = arrays[name].astype(np.int64)
            if len(rows) and not 0 <= rows.min() <= rows.max() < len(images[origin].labels):
                raise ValueError("the rows of a split do not exist")
            selections[split] = RowSelection(origin, rows)
        held_out = tuple(each for each in SPLITS if each in decode_names(arrays["held_out"]))
        return cls(images, SplitPlan(selections, held_out))

    def to_bytes(self) -> bytes:
        """The content of an `.npz` file."""
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **self.to_arrays())
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> ImageList:
        """Read what `to_bytes` wrote.

        Raises:
            ValueError: it is damaged, or something else.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if any(info.file_size > MAX_MEMBER_BYTES for info in archive.infolist()):
                    raise ValueError("a list of images is too large")
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return cls.from_arrays(dict(arrays))
        except _UNREADABLE as error:
            raise ValueError(f"the list of images is damaged: {error}") from error


@dataclass(frozen=True)
class FurtherData:
    """Other data from the same images: of a further split, or in another size.

    Attributes:
        settings: the fields of the recipe in `SPLIT_SETTINGS`.
        info: the prepared data.
    """

    settings: Mapping[str, Any]
    info: DataInfo

    def to_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {"settings": dict(self.settings), "info": _info_to_json(self.info)}


@dataclass(frozen=True, eq=False)
class DataRecord:
    """What a study was searched on.

    Attributes:
        kind: of the data source, a key of `resolve.SOURCE_KINDS`.
        place: where the source is: an absolute path, or a name.
        info: classes, counts, preprocessing, normalisation and key of the prepared data.
        settings: the fields of the recipe in `SPLIT_SETTINGS`.
        options: how the source is read.
        crop: the usual shift for these images; see `DataSource`.
        image_list: the images of the source, and those of each split.
        further: other data of the study from the same images.
    """

    kind: str
    place: str
    info: DataInfo
    settings: Mapping[str, Any]
    options: SourceOptions
    crop: int | None
    image_list: ImageList
    further: tuple[FurtherData, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels."""
        return self.info.classes

    @property
    def fingerprint(self) -> str:
        """A digest of the content: classes, images, and splits; not of the place."""
        facts = json.dumps([self.classes, self.image_list.digest])
        return hashlib.sha256(facts.encode()).hexdigest()

    def info_of(self, recipe: Recipe) -> DataInfo | None:
        """The prepared data of a trial of the study; None if they were not recorded.

        Args:
            recipe: of the trial; chooses the split and the image size.
        """
        settings = split_settings(recipe)
        for known in (FurtherData(self.settings, self.info), *self.further):
            if known.settings == settings and _is_preprocessed(known.info, recipe):
                return known.info
        return None

    def with_info(self, recipe: Recipe, info: DataInfo) -> DataRecord:
        """The record with other data of the same images, prepared with a recipe."""
        return replace(self, further=(*self.further, FurtherData(split_settings(recipe), info)))

    def at(self, place: str, kind: str, options: SourceOptions) -> DataRecord:
        """The record of the same content at another place.

        Args:
            place: resolved.
            kind: of the source there; see `SOURCE_KINDS`.
            options: with which that source is read.
        """
        return replace(self, place=place, kind=kind, options=options)

    def to_json(self) -> dict[str, Any]:
        """Everything but the images. `from_stored` is the inverse."""
        return {
            "kind": self.kind,
            "place": self.place,
            "info": _info_to_json(self.info),
            "settings": dict(self.settings),
            "options": asdict(self.options),
            "crop": self.crop,
            "further": [data.to_json() for data in self.further],
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_stored(cls, facts: Mapping[str, Any], images: bytes) -> DataRecord:
        """Read what `to_json` and `ImageList.to_bytes` wrote.

        Raises:
            ValueError: it is damaged, or something else.
        """
        try:
            further = (
                FurtherData(_read_settings(each), DataInfo.from_json(dict(each["info"])))
                for each in facts["further"]
            )
            record = cls(
                kind=str(facts["kind"]),
                place=str(facts["place"]),
                info=DataInfo.from_json(dict(facts["info"])),
                settings=_read_settings(facts),
                options=_read_options(facts["options"]),
                crop=facts["crop"],
                image_list=ImageList.from_bytes(images),
                further=tuple(further),
            )
            if record.fingerprint != facts["fingerprint"]:
                raise ValueError("the images are not those of the record")
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the record of the data is damaged: {error}") from error
        return record


def _is_preprocessed(info: DataInfo, recipe: Recipe) -> bool:
    """Whether data were preprocessed as a recipe asks for."""
    made = info.preprocessing
    settings = (recipe.image_size, recipe.fit, recipe.interpolation, recipe.value_range)
    if (made.image_size, made.fit, made.interpolation, made.value_range) != settings:
        return False
    return made.channels == recipe.in_chans


def _info_to_json(info: DataInfo) -> dict[str, Any]:
    """As `DataInfo.to_json`, with the key alone in place of the folder on this machine."""
    return {**info.to_json(), "folder": info.key}


def _read_options(facts: Mapping[str, Any]) -> SourceOptions:
    column, layout = facts["column"], facts["layout"]
    return SourceOptions(
        facts["data_root"],
        None if column is None else tuple(column),
        bool(facts["skip_broken"]),
        FolderLayout(layout["splits"], tuple(layout["leave_out"])),
        facts.get("max_pixels"),
    )


def _read_settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts["settings"][name] for name in SPLIT_SETTINGS}


def split_settings(recipe: Recipe) -> dict[str, Any]:
    """The fields of a recipe that decide which images are in which split."""
    return {name: getattr(recipe, name) for name in SPLIT_SETTINGS}


def read_image_list(info: DataInfo) -> ImageList:
    """The list of images beside prepared data.

    Raises:
        DataError: it is missing or damaged.
    """
    path: Path = info.folder / IMAGES_FILE
    try:
        content = path.read_bytes()
        if zlib.crc32(content) != info.checksums[IMAGES_FILE]:
            raise ValueError("its checksum is another one")
        return ImageList.from_bytes(content)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} is gone or damaged; start again, it is rebuilt") from error
