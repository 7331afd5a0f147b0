"""Where images come from: embedded digits, class folders, archives, timm's data sets.

    inspect_data(spec)      classes, typical size and a sensible image size of a data source
    prepare_data(recipe)    decode and split once, into the cache; the coordinator does this
    open_data(info)         map prepared data into memory, in milliseconds; workers do this
    load_data(recipe)       prepare, then open
    find_prepared_data(key) what was prepared before, without its source

These modules do not import torch. They import scikit-learn and timm only for a source that needs
them.
"""

from .dataset import DataInfo, Dataset, SourceInfo, Split
from .prepared.cache import find_prepared_data, load_data, open_data, prepare_data
from .prepared.known_sources import inspect_data
from .prepared.prepare import Progress
from .sources.source import SourceOptions
from .sources.split_folders import FolderLayout

__all__ = [
    "DataInfo",
    "Dataset",
    "FolderLayout",
    "Progress",
    "SourceInfo",
    "SourceOptions",
    "Split",
    "find_prepared_data",
    "inspect_data",
    "load_data",
    "open_data",
    "prepare_data",
]
