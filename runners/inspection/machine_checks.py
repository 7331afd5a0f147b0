"""What `attentune doctor` says of a machine, and what can be done about it.

Nothing here keeps a search from running; it says why one may be slower than it could be. Each
finding is a detail, and advice if there is something to do.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import warnings
from pathlib import Path

import psutil

from ...cache_folders import cache_root

Finding = tuple[str, str | None]
"""A detail, and what to do about it; None: nothing."""
ASSUMED_WORKER_BYTES = 1.5 * 2**30
"""Memory that a worker with a network of medium size takes. Large images need more."""
MAX_LOAD_PER_CORE = 0.7
MIN_FREE_BYTES = 5 * 2**30
MIN_SHARED_BYTES = 2**30
SPEED_TEST_BYTES = 2**24
MIN_BYTES_PER_SECOND = 30e6
NETWORK_FILE_SYSTEMS = (
    *("nfs", "nfs4", "cifs", "smbfs", "smb2", "smb3", "afpfs", "9p", "afs", "beegfs", "ceph"),
    *("fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "glusterfs", "fuse.glusterfs"),
    *("gpfs", "lustre", "panfs", "wekafs", "webdav", "davfs"),
)
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
CPU_FACTS, SHARED_MEMORY = Path("/proc/cpuinfo"), Path("/dev/shm")


def check_processor(usable: int, installed: int, flags: str | None) -> Finding:
    """Cores, and whether they compute in bf16.

    Args:
        usable: cores that this process may use.
        installed: cores of the machine.
        flags: features of the processor, as Linux lists them; None: not known.
    """
    cores = "1 core" if usable == 1 else f"{usable} cores"
    detail = f"{usable} of {installed} cores" if usable < installed else cores
    if usable < installed:
        return detail, (
            "a container, a batch system or taskset limits this process; ask it for more cores to "
            "train more trials at a time"
        )
    if usable == 1:
        return detail, "a search trains one trial at a time here; more cores train more"
    if flags is not None and "avx512_bf16" not in flags and "amx_bf16" not in flags:
        return f"{detail}, without bf16 instructions", (
            "leave --precision at auto, which measures what is fastest; bf16 would be emulated"
        )
    return detail, None


def check_memory(available: float, workers: int) -> Finding:
    """Memory for workers.

    Args:
        available: bytes that this process may still use.
        workers: that a search would have.
    """
    detail = f"{available / 2**30:.1f} GiB available"
    room = int(available / ASSUMED_WORKER_BYTES)
    if room >= workers:
        return detail, None
    if room == 0:
        return detail, "close other programs, or limit a trial with --batch-size and --image-size"
    return detail, f"{workers} workers may need more; use --workers {room}"


def check_load(load: float, cores: int) -> Finding:
    """How busy the machine is.

    Args:
        load: processes that computed in the last minute, on average.
        cores: that this process may use.
    """
    detail = f"{load:.1f} processes on {cores} cores in the last minute"
    if load <= MAX_LOAD_PER_CORE * cores:
        return detail, None
    return detail, (
        "close other programs before latencies are measured (`measure`, --objective latency); "
        "trials are slower meanwhile"
    )


def check_shared_memory(size: int | None) -> Finding:
    """Shared memory, through which Ray and workers of a DataLoader pass data.

    Args:
        size: in bytes; None if the system has no such folder.
    """
    if size is None:
        return "not limited by this system", None
    if size >= MIN_SHARED_BYTES:
        return f"{size / 2**30:.1f} GiB", None
    return f"{size / 2**20:,.0f} MiB", (
        "start the container with more (docker run --shm-size=2g) for --pool ray, or if your own "
        "code uses workers of a DataLoader"
    )


def check_folder(path: Path, variable: str) -> Finding:
    """Whether a folder is on a fast disk of this machine with free space.

    Args:
        path: it need not exist.
        variable: what says where it is, for the advice.
    """
    present = next(folder for folder in (path, *path.parents) if folder.exists())
    free, kind = shutil.disk_usage(present).free, file_system_of(present)
    detail = f"{path}, {free / 2**30:,.0f} GiB free"
    if kind in NETWORK_FILE_SYSTEMS:
        return f"{detail}, on the network ({kind})", (
            f"set {variable} to a folder on a disk of this machine: it is faster, and its files "
            "are locked reliably"
        )
    if free < MIN_FREE_BYTES:
        return detail, f"free some space, or set {variable} to a folder on another disk"
    speed = write_speed(present)
    if speed is not None and speed < MIN_BYTES_PER_SECOND:
        return f"{detail}, writes {speed / 1e6:.0f} MB/s", (
            f"set {variable} to a folder on a faster disk"
        )
    return detail, None


def file_system_of(path: Path) -> str:
    """The kind of file system of a folder; empty if it is not known."""
    resolved, kinds = path.resolve(), dict[Path, str]()
    for partition in psutil.disk_partitions(all=True):
        if resolved.is_relative_to(partition.mountpoint):
            kinds[Path(partition.mountpoint)] = partition.fstype
    return kinds[max(kinds, key=lambda mount: len(mount.parts))] if kinds else ""


def write_speed(folder: Path) -> float | None:
    """Bytes per second at which a file is written to the disk; None if it cannot be written."""
    content = os.urandom(SPEED_TEST_BYTES)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            began = time.perf_counter()
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            return len(content) / (time.perf_counter() - began)
    except OSError:
        return None


def describe_gpus() -> Finding:
    """The GPUs that torch sees, and why it may see none."""
    import torch

    from ..calibration.precision import emulates_bf16, lacks_bf16
    from ..environment import device_name

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        devices = [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
        is_usable = torch.cuda.is_available()
    driver_is_old = any("driver" in str(warning.message) for warning in caught)
    has_driver = NVIDIA_DRIVER.exists() or shutil.which("nvidia-smi") is not None
    if advice := advise_on_driver(torch.version.cuda, has_driver, is_usable, driver_is_old):
        return "none that torch can use", advice
    if not devices:
        return "none", None
    names = ", ".join(map(device_name, devices))
    if any(emulates_bf16(device) or lacks_bf16(device) for device in devices):
        return f"{names}, without bf16", "leave --precision at auto, which takes fp16 instead"
    return names, None


def advise_on_driver(
    cuda: str | None, has_driver: bool, is_usable: bool, driver_is_old: bool
) -> str | None:
    """Why torch does not see an NVIDIA GPU, and what to do; None if it does, or there is none.

    Args:
        cuda: the version that torch was built for; None: a build for CPUs, or for AMD.
        has_driver: whether there is a driver of NVIDIA.
        is_usable: whether torch can use a GPU.
        driver_is_old: whether torch has said so.
    """
    if is_usable or not has_driver:
        return None
    if cuda is None:
        return (
            "this machine has a driver for NVIDIA GPUs, and torch is a build for CPUs; install the "
            "build for CUDA that https://pytorch.org names for your system"
        )
    if driver_is_old:
        return (
            f"the driver is too old for CUDA {cuda}; update it, or install a build of torch for an "
            "older CUDA"
        )
    return (
        "torch cannot use the GPU; look at `nvidia-smi` and at CUDA_VISIBLE_DEVICES, and start a "
        "container with --gpus all"
    )


def describe_machine() -> dict[str, Finding]:
    """All findings, by name."""
    from ..cores import usable_cores
    from ..free_memory import available_bytes

    cores, flags = usable_cores(), None
    if CPU_FACTS.exists():
        text = CPU_FACTS.read_text("utf-8", errors="replace")
        flags = text if "flags" in text else None  # Other processors than x86 list none.
    load = psutil.getloadavg()[0]
    has_shared = SHARED_MEMORY.is_dir()
    shared = shutil.disk_usage(SHARED_MEMORY).total if has_shared else None
    return {
        "processor": check_processor(cores, psutil.cpu_count() or cores, flags),
        "GPU": describe_gpus(),
        "memory": check_memory(available_bytes(), cores),
        "shared memory": check_shared_memory(shared),
        "load": check_load(load, cores),
        "cache disk": check_folder(cache_root(), "ATTENTUNE_CACHE"),
        "database disk": check_folder(Path.cwd(), "ATTENTUNE_DB (or --db)"),
    }
