"""A folder for sockets, whose paths may have only about a hundred bytes.

That is the length of `sun_path` in the system's `sockaddr_un`: 108 bytes on Linux and 104 on macOS,
with a zero at the end. Batch systems and shared machines set TMPDIR to paths that leave no room.
Sockets take no space, so they may be in another folder than large temporary files.
"""

from __future__ import annotations

import os
import sys
import tempfile
from multiprocessing import util
from pathlib import Path

from ...errors import MachineError

MAX_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
MULTIPROCESSING_BYTES = len("/pymp-12345678/listener-12345678")
"""What multiprocessing adds to the folder of temporary files."""
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


def short_temporary_folder(needed: int) -> Path:
    """The folder of temporary files, or another one if the paths of sockets in it were too long.

    Args:
        needed: bytes of a socket's path after the folder.

    Raises:
        MachineError: there is none in which this process may write.
    """
    usual = Path(tempfile.gettempdir())
    room = MAX_SOCKET_PATH_BYTES - needed
    user_folder = os.environ.get("XDG_RUNTIME_DIR", "")
    for folder in (usual, *map(Path, filter(None, (user_folder, *SHORT_FOLDERS)))):
        if len(os.fsencode(folder)) <= room and _is_writable(folder):
            return folder
    raise MachineError(
        f"the folder for temporary files, {usual}, has a path of {len(os.fsencode(usual))} bytes, "
        f"and sockets in it may have at most {room}; set TMPDIR to a folder with a shorter path"
    )


def shorten_paths_of_multiprocessing() -> None:
    """Let the sockets of multiprocessing be in a folder whose path is short enough.

    Processes that this one starts use the same folder.

    Raises:
        MachineError: there is no such folder.
    """
    path_bytes = len(os.fsencode(tempfile.gettempdir())) + MULTIPROCESSING_BYTES
    if os.name != "posix" or path_bytes <= MAX_SOCKET_PATH_BYTES:
        return
    folder, before = short_temporary_folder(MULTIPROCESSING_BYTES), tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        util.get_temp_dir()  # It makes a folder once for the process, and deletes it at the end.
    finally:
        tempfile.tempdir = before


def _is_writable(folder: Path) -> bool:
    return folder.is_absolute() and folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
