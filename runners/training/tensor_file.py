"""Files of tensors that show whether they are whole: safetensors with a checksum of all bytes.

A file that a power cut, a bad disk or a copy has damaged is often still a valid safetensors file,
with zeros or other numbers in place of the tensors. The metadata of a file therefore hold the
CRC-32 of the whole file, computed with zeros in the place of the checksum itself. It detects
accidents, and is several times as fast as a cryptographic digest, which a short trial would notice.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ...errors import DamagedFileError

CHECKSUM_KEY = "crc32"
_BLANK_CHECKSUM = "0" * 8
_PREFIX_BYTES = 8
"""A safetensors file begins with the length of its header, a little-endian integer."""
MAX_HEADER_BYTES = 2**24
"""Headers are a few kilobytes. A longer one is not read into memory."""
_CHUNK_BYTES = 2**20


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a file of tensors with the checksum of its bytes.

    Args:
        path: the file.
        tensors: contiguous tensors on the CPU, by name.
        metadata: texts by name; `CHECKSUM_KEY` is added.
    """
    # `save_file` would write to a temporary file of its own, which a killed process leaves and only
    # the user may read.
    content = memoryview(save(dict(tensors), {**metadata, CHECKSUM_KEY: _BLANK_CHECKSUM}))
    header_bytes = _PREFIX_BYTES + int.from_bytes(content[:_PREFIX_BYTES], "little")
    header, data = bytes(content[:header_bytes]), content[header_bytes:]
    checksum = f"{zlib.crc32(data, zlib.crc32(header)):08x}"
    with path.open("wb") as file:
        file.write(header.replace(_checksum_entry(_BLANK_CHECKSUM), _checksum_entry(checksum), 1))
        file.write(data)


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a file of tensors, without a check of its tensors.

    Raises:
        DamagedFileError: the file is no safetensors file.
        OSError: it cannot be read.
    """
    with _open(path) as file:
        return _parse_metadata(path, _read_header(file))


def verify_tensors(path: Path) -> dict[str, str]:
    """Read a file of `write_tensors` to its end, and return its metadata.

    Raises:
        DamagedFileError: its bytes are not those that were written.
        OSError: it cannot be read.
    """
    with _open(path) as file:
        header = _read_header(file)
        metadata = _parse_metadata(path, header)
        stored = metadata.get(CHECKSUM_KEY, "")
        blank = header.replace(_checksum_entry(stored), _checksum_entry(_BLANK_CHECKSUM), 1)
        if stored == _compute_checksum(file, blank):
            return metadata
    raise DamagedFileError(f"{path} is damaged: its content does not fit its checksum.")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name. Those of a file without a checksum are not verified.

    Raises:
        DamagedFileError: its bytes are not those that were written.
        OSError: it cannot be read.
    """
    if CHECKSUM_KEY in read_metadata(path):
        verify_tensors(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise DamagedFileError(f"{path} is damaged: {error}.") from error


def _open(path: Path) -> BufferedReader:
    if path.exists() and not path.is_file():  # Opening a named pipe would wait for ever.
        raise DamagedFileError(f"{path} is no file.")
    return path.open("rb")


def _read_header(file: BufferedReader) -> bytes:
    """The length and the header of a safetensors file; `file` then stands before the tensors."""
    prefix = file.read(_PREFIX_BYTES)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < _PREFIX_BYTES or length > MAX_HEADER_BYTES:
        raise DamagedFileError(f"{file.name} is damaged: it is no safetensors file.")
    header = file.read(length)
    if len(header) < length:
        raise DamagedFileError(f"{file.name} is damaged: it ends too early.")
    return prefix + header


def _parse_metadata(path: Path, header: bytes) -> dict[str, str]:
    try:
        fields: dict[str, Any] = json.loads(header[_PREFIX_BYTES:])
        metadata = fields.get("__metadata__", {})
        return {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, AttributeError, RecursionError):
        raise DamagedFileError(f"{path} is damaged: its header cannot be read.") from None


def _compute_checksum(file: BufferedReader, header: bytes) -> str:
    """The checksum of `header` and the rest of a file, which stands after its header."""
    checksum = zlib.crc32(header)
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    while count := file.readinto(buffer):
        checksum = zlib.crc32(buffer[:count], checksum)
    return f"{checksum:08x}"


def _checksum_entry(checksum: str) -> bytes:
    """The checksum's entry in a header; in the value of another entry its quotes are escaped."""
    return f'"{CHECKSUM_KEY}":"{checksum}"'.encode()
