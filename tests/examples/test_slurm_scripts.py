"""The batch scripts for Slurm, with plain processes in the place of `srun` and `scontrol`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attentune
import pytest
from attentune.studies.database.store import Store
from postgresql_servers import needs_postgres, new_database

SCRIPTS = Path(attentune.__file__).resolve().parent / "examples" / "slurm"
MAX_SECONDS = 240
Job = subprocess.Popen[bytes]

SRUN = """#!/usr/bin/env bash
echo "srun $*" >> calls
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/usr/bin/env bash
echo "scontrol $*" >> calls
case "$*" in
    "show hostnames "*) printf '%s\\n' ${3//,/ } ;;
    "show job "*) echo "JobId=7 JobState=$(cat state) Reason=None" ;;
esac
"""
FAKE_RAY = f"""#!/usr/bin/env bash
# Runs until it is told to end; a head answers at its port.
echo "ray $*" >> calls
echo "$RAY_AUTH_MODE $RAY_AUTH_TOKEN" >> tokens
for word in "$@"; do
    case "$word" in --port=*) port=${{word#*=}} ;; --temp-dir=*) mkdir -p "${{word#*=}}" ;; esac
done
[[ $* == *--head* ]] || exec sleep 1000
exec {sys.executable} -c "
import socket, sys, time
server = socket.create_server(('', int(sys.argv[1])))
time.sleep(1000)" "$port"
"""
REAL_RAY = f"""#!/usr/bin/env bash
exec {Path(sys.executable).with_name("ray")} "$@"
"""
FAKE_ATTENTUNE = """#!/usr/bin/env bash
# Knows a study once it was started; it runs until it is interrupted, or until it may end.
if [ "$1" = show ]; then [ -e "known-$2" ]; exit; fi
echo "attentune $*" >> calls
touch "known-$2" "${TMPDIR:-.}/scratch"
echo "${TMPDIR:-}" >> folders
trap 'sleep 0.1; exit 130' TERM
touch "runs-$2"
until [ -e "end-$2" ]; do sleep 0.02; done
exit "$(cat "end-$2")"
"""
REAL_ATTENTUNE = f"""#!/usr/bin/env bash
exec {sys.executable} -m attentune "$@"
"""


class Cluster:
    """A folder from which jobs are submitted, and the programs that they call."""

    def __init__(self, folder: Path, command: str, ray: str = FAKE_RAY) -> None:
        self.folder = folder
        self.programs = folder / "programs"
        self.programs.mkdir()
        texts = {"srun": SRUN, "scontrol": SCONTROL, "attentune": command, "ray": ray}
        for name, text in texts.items():
            (self.programs / name).write_text(text, encoding="utf-8")
            (self.programs / name).chmod(0o755)
        self.temporary = Path(tempfile.mkdtemp())  # Short, as a folder of a node is.
        self.set_state("RUNNING")
        self.jobs: list[Job] = []

    def set_state(self, state: str) -> None:
        """What Slurm says of the job."""
        (self.folder / "state").write_text(state, encoding="utf-8")

    def start(self, script: str, *arguments: str, **variables: str | int) -> Job:
        """Start a task as Slurm does."""
        environment = {
            **os.environ,
            "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
            "SLURM_TMPDIR": str(self.temporary),
            "SLURM_JOB_ID": "7",
            **{name: str(value) for name, value in variables.items()},
        }
        with (self.folder / f"log-{len(self.jobs)}").open("wb") as log:
            job = subprocess.Popen(
                ["bash", str(SCRIPTS / script), *arguments],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.jobs.append(job)
        return job

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; on a busy machine that may take minutes."""
        ends = time.monotonic() + MAX_SECONDS
        while not condition():
            for job in self.jobs[-1:]:
                assert job.poll() is None, self.ended(job)
            assert time.monotonic() < ends
            time.sleep(0.02)

    def calls(self, program: str) -> list[str]:
        """The calls of a program so far, without its name."""
        lines = (self.folder / "calls").read_text("utf-8").splitlines()
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{program} ")]

    def ended(self, job: Job) -> tuple[int, str]:
        """Exit code and output of a job, once it has ended."""
        code = job.wait(MAX_SECONDS)
        return code, (self.folder / f"log-{self.jobs.index(job)}").read_text("utf-8")


@contextmanager
def cluster_with(folder: Path, *programs: str) -> Iterator[Cluster]:
    """A cluster with this `attentune`, and perhaps this `ray`; its jobs end with the block."""
    cluster = Cluster(folder, *programs)
    try:
        yield cluster
    finally:
        for job in cluster.jobs:
            with suppress(ProcessLookupError):
                os.killpg(job.pid, signal.SIGKILL)
            job.wait()
        shutil.rmtree(cluster.temporary)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with cluster_with(tmp_path, FAKE_ATTENTUNE) as cluster:
        yield cluster


def test_a_task_that_is_told_to_end_is_queued_again_and_resumes(cluster):
    task = {"SLURM_ARRAY_JOB_ID": 5, "SLURM_ARRAY_TASK_ID": 1}
    configs = ("studies/a.toml", "studies/b c.toml")
    job = cluster.start("studies.sbatch", *configs, **task)
    cluster.wait_for((cluster.folder / "runs-b c").exists)
    job.send_signal(signal.SIGTERM)
    code, output = cluster.ended(job)
    assert (code, "saved; queued again" in output) == (0, True)
    assert cluster.calls("scontrol") == ["show job --oneliner 5_1", "requeue 5_1"]
    (cluster.folder / "end-b c").write_text("0")
    job = cluster.start("studies.sbatch", *configs, SLURM_RESTART_COUNT=1, **task)
    assert cluster.ended(job)[0] == 0
    assert cluster.calls("attentune") == ["search b c --config studies/b c.toml", "resume b c"]
    assert len(cluster.calls("scontrol")) == 2
    assert cluster.calls("srun")[0].startswith("--ntasks=1 --cpus-per-task=1 attentune search")


def test_every_task_has_a_study_and_a_temporary_folder_of_its_own(cluster):
    jobs = [
        cluster.start("studies.sbatch", "a.toml", "b.toml", SLURM_ARRAY_TASK_ID=index)
        for index in (0, 1)
    ]
    for name in "ab":
        cluster.wait_for((cluster.folder / f"runs-{name}").exists)
    folders = (cluster.folder / "folders").read_text().split()
    assert len(set(folders)) == 2
    assert all(Path(folder, "scratch").exists() for folder in folders)
    for name in "ab":
        (cluster.folder / f"end-{name}").write_text("0")
    assert [cluster.ended(job)[0] for job in jobs] == [0, 0]
    assert list(cluster.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("state", "restarts", "sentence"),
    [("CANCELLED", 0, ""), ("RUNNING", 100, "queued again 100 times")],
)
def test_a_task_that_was_cancelled_or_goes_on_for_ever_is_not_queued_again(
    cluster, state, restarts, sentence
):
    job = cluster.start("studies.sbatch", "a.toml", SLURM_RESTART_COUNT=restarts)
    cluster.wait_for((cluster.folder / "runs-a").exists)
    cluster.set_state(state)
    job.send_signal(signal.SIGTERM)
    code, output = cluster.ended(job)
    assert (code, sentence in output) == (130, True)
    assert cluster.calls("scontrol") == ["show job --oneliner 7"]


def test_a_search_that_fails_ends_its_task_with_its_exit_code(cluster):
    (cluster.folder / "end-a").write_text("1")
    assert cluster.ended(cluster.start("studies.sbatch", "a.toml"))[0] == 1
    code, output = cluster.ended(cluster.start("studies.sbatch", "a.toml", SLURM_ARRAY_TASK_ID=1))
    assert (code, "no configuration for task 1" in output) == (2, True)
    assert "scontrol" not in (cluster.folder / "calls").read_text()


def options(call: str) -> dict[str, str]:
    """The options of a call, by name."""
    return dict(word.partition("=")[::2] for word in call.split() if word.startswith("--"))


def test_a_job_is_a_ray_cluster_of_its_own_and_is_queued_again(cluster):
    nodes = {"SLURM_JOB_NODELIST": "n1,n2,n3", "SLURM_CPUS_PER_TASK": 2}
    job = cluster.start("ray.sbatch", "studies/a.toml", **nodes)
    cluster.wait_for((cluster.folder / "runs-a").exists)
    cluster.wait_for(lambda: len(cluster.calls("ray")) == 3)
    head, *workers = map(options, cluster.calls("ray"))
    (search,) = cluster.calls("attentune")
    address = workers[0]["--address"]
    assert search == f"search a --config studies/a.toml --pool ray --ray-address {address}"
    assert address.endswith(f":{head['--port']}")
    assert all(worker["--address"] == address for worker in workers)
    ports = [int(value) for name, value in head.items() if name.endswith("port")]
    first = int(head["--port"])
    assert len(set(ports)) == len(ports) == 9
    assert all(first <= port < first + 400 for port in ports)
    tokens = (cluster.folder / "tokens").read_text().splitlines()
    assert len(set(tokens)) == 1
    assert re.fullmatch("token [0-9a-f]{64}", tokens[0])
    assert re.fullmatch(
        "token [0-9a-f]{64}", (cluster.folder / "tokens").read_text().split("\n")[0]
    )
    nodes_used = [options(call)["--nodelist"] for call in cluster.calls("srun")]
    assert sorted(nodes_used) == ["n1", "n1", "n2", "n3"]
    assert head["--temp-dir"] == str(cluster.temporary / "at-7")

    other = cluster.start("ray.sbatch", "studies/b.toml", **nodes | {"SLURM_JOB_ID": 8})
    cluster.wait_for((cluster.folder / "runs-b").exists)
    other_head = options(next(c for c in reversed(cluster.calls("ray")) if "--head" in c))
    assert abs(int(other_head["--port"]) - first) >= 800
    assert other_head["--temp-dir"] != head["--temp-dir"]

    job.send_signal(signal.SIGTERM)
    code, output = cluster.ended(job)
    assert (code, "saved; queued again" in output) == (0, True)
    assert cluster.calls("scontrol")[-1] == "requeue 7"
    assert not (cluster.temporary / "at-7").exists()
    (cluster.folder / "end-a").write_text("0")
    assert cluster.ended(cluster.start("ray.sbatch", "studies/a.toml", **nodes))[0] == 0
    assert cluster.calls("attentune")[-1].startswith("resume a --ray-address ")
    (cluster.folder / "end-b").write_text("1")
    assert cluster.ended(other)[0] == 1
    assert list(cluster.temporary.iterdir()) == []


CONFIG = """
backbone = "test_resnet"
data = "digits"
image-size = 16
train-limit = 256
batch-size = 64
epochs = 4
stem = "native"
lr = 0.004
precision = "float32"
memory-format = "channels_last"
device = "cpu"
trials = 7
"""


@needs_postgres
@pytest.mark.slow
def test_an_array_of_studies_in_one_database_ends_each_as_one_run_would(tmp_path, monkeypatch):
    """Both tasks run at once; both are told to end in the middle of a trial, and queued again."""
    (tmp_path / "studies").mkdir()
    for seed, name in enumerate("ab"):
        config = f"{CONFIG}seed = {seed}\n"
        (tmp_path / "studies" / f"{name}.toml").write_text(config, encoding="utf-8")
    configs = ("studies/a.toml", "studies/b.toml")
    with (
        cluster_with(tmp_path, REAL_ATTENTUNE) as cluster,
        new_database("postgres", tmp_path) as database,
        Store.open(database, create=True) as store,
    ):

        def start(index: int, restarts: int) -> Job:
            return cluster.start(
                "studies.sbatch",
                *configs,
                ATTENTUNE_DB=database,
                SLURM_ARRAY_TASK_ID=index,
                SLURM_RESTART_COUNT=restarts,
            )

        def runs(name: str) -> bool:
            names = [study.name for study in store.studies.read_all()]
            return name in names and len(store.trials.read(name)) > 2

        jobs = [start(index, 0) for index in (0, 1)]
        for name, job in zip("ab", jobs, strict=True):
            cluster.wait_for(lambda name=name: runs(name))
            job.send_signal(signal.SIGTERM)
        for job in jobs:
            code, output = cluster.ended(job)
            assert (code, "saved; queued again" in output) == (0, True), output
        assert any(trial.state == "running" for name in "ab" for trial in store.trials.read(name))
        for job in [start(index, 1) for index in (0, 1)]:
            code, output = cluster.ended(job)
            assert (code, "attentune resume" in output) == (0, True), output
        for name in "ab":
            trials = store.trials.read(name)
            assert [trial.state for trial in trials] == ["complete"] * 7
            assert len({(trial.key, trial.seed) for trial in trials}) == 7
            assert [epoch.report.epoch for epoch in store.epochs.read(name)] == [1, 2, 3, 4] * 7
        command = [sys.executable, "-m", "attentune", "search", "a", "--config", "studies/a.toml"]
        monkeypatch.delenv("ATTENTUNE_DB", raising=False)
        subprocess.run([*command, "--db", "alone.db"], cwd=tmp_path, check=True)
        with Store.open(tmp_path / "alone.db", read_only=True) as alone:
            expected = [(trial.key, trial.accuracy) for trial in alone.trials.read("a")]
        assert [(trial.key, trial.accuracy) for trial in store.trials.read("a")] == expected


@needs_postgres
@pytest.mark.slow
def test_a_job_on_a_real_ray_cluster_is_saved_queued_again_and_finished(tmp_path):
    pytest.importorskip("ray")
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "a.toml").write_text(CONFIG, encoding="utf-8")
    with (
        cluster_with(tmp_path, REAL_ATTENTUNE, REAL_RAY) as cluster,
        new_database("postgres", tmp_path) as database,
        Store.open(database, create=True) as store,
    ):

        def start(restarts: int) -> Job:
            return cluster.start(
                "ray.sbatch",
                "studies/a.toml",
                ATTENTUNE_DB=database,
                SLURM_JOB_NODELIST="n1,n2",
                SLURM_RESTART_COUNT=restarts,
            )

        def runs() -> bool:
            names = [study.name for study in store.studies.read_all()]
            return "a" in names and len(store.trials.read("a")) > 2

        job = start(0)
        cluster.wait_for(runs)
        job.send_signal(signal.SIGTERM)
        code, output = cluster.ended(job)
        assert (code, "saved; queued again" in output) == (0, True), output
        code, output = cluster.ended(start(1))
        assert (code, "attentune resume a --ray-address" in output) == (0, True), output
        trials = store.trials.read("a")
        assert [trial.state for trial in trials] == ["complete"] * 7
        assert len({(trial.key, trial.seed) for trial in trials}) == 7
        assert list(cluster.temporary.iterdir()) == []
