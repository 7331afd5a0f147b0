"""Files of tensors that show whether they are whole: safetensors with a digest of all their bytes.

A file that a power cut, a bad disk or a copy has damaged is often still a valid safetensors file,
with zeros or other numbers in place of the tensors. The metadata of a file therefore hold the
SHA-256 of the file, computed with zeros in the place of the digest itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...errors import DamagedFileError

DIGEST_KEY = "sha256"
_BLANK_DIGEST = "0" * 64
_PREFIX_BYTES = 8
"""A safetensors file begins with the length of its header, a little-endian integer."""
MAX_HEADER_BYTES = 2**24
"""Headers are a few kilobytes. A longer one is not read into memory."""
_CHUNK_BYTES = 2**20


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Write a file of tensors with the digest of its bytes, and return the digest.

    Args:
        path: the file.
        tensors: contiguous tensors on the CPU, by name.
        metadata: texts by name; `DIGEST_KEY` is added.
    """
    save_file(dict(tensors), path, {**metadata, DIGEST_KEY: _BLANK_DIGEST})
    with path.open("r+b") as file:
        prefix, header = _read_header(file)
        digest = _hash_file(file, prefix + header)
        file.seek(_PREFIX_BYTES + header.index(_digest_entry(_BLANK_DIGEST)))
        file.write(_digest_entry(digest))
    return digest


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a file of tensors, without a check of its tensors.

    Raises:
        DamagedFileError: the file is no safetensors file.
        OSError: it cannot be read.
    """
    with _open(path) as file:
        _, header = _read_header(file)
    return _parse_metadata(path, header)


def verify_tensors(path: Path) -> dict[str, str]:
    """Read a file of `write_tensors` to its end, and return its metadata.

    Raises:
        DamagedFileError: its bytes are not those that were written.
        OSError: it cannot be read.
    """
    with _open(path) as file:
        prefix, header = _read_header(file)
        metadata = _parse_metadata(path, header)
        digest = metadata.get(DIGEST_KEY, "")
        blank = header.replace(_digest_entry(digest), _digest_entry(_BLANK_DIGEST), 1)
        if digest != _hash_file(file, prefix + blank):
            raise DamagedFileError(f"{path} is damaged: its content does not fit its checksum.")
    return metadata


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name. Those of a file without a digest are not verified.

    Raises:
        DamagedFileError: its bytes are not those that were written.
        OSError: it cannot be read.
    """
    if DIGEST_KEY in read_metadata(path):
        verify_tensors(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise DamagedFileError(f"{path} is damaged: {error}.") from error


def _open(path: Path) -> BufferedReader:
    if path.exists() and not path.is_file():  # Opening a named pipe would wait for ever.
        raise DamagedFileError(f"{path} is no file.")
    return path.open("rb")


def _read_header(file: BufferedReader | BufferedRandom) -> tuple[bytes, bytes]:
    """The first bytes and the header of a safetensors file; `file` then stands after them."""
    prefix = file.read(_PREFIX_BYTES)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < _PREFIX_BYTES or length > MAX_HEADER_BYTES:
        raise DamagedFileError(f"{file.name} is damaged: it is no safetensors file.")
    header = file.read(length)
    if len(header) < length:
        raise DamagedFileError(f"{file.name} is damaged: it ends too early.")
    return prefix, header


def _parse_metadata(path: Path, header: bytes) -> dict[str, str]:
    try:
        fields: dict[str, Any] = json.loads(header)
        metadata = fields.get("__metadata__", {})
        return {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, AttributeError, RecursionError):
        raise DamagedFileError(f"{path} is damaged: its header cannot be read.") from None


def _hash_file(file: BufferedReader | BufferedRandom, beginning: bytes) -> str:
    """The digest of `beginning` and the rest of a file."""
    digest = hashlib.sha256(beginning)
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    while count := file.readinto(buffer):
        digest.update(buffer[:count])
    return digest.hexdigest()


def _digest_entry(digest: str) -> bytes:
    """The entry of the digest in a header. In the value of another entry its quotes are escaped."""
    return f'"{DIGEST_KEY}":"{digest}"'.encode()
