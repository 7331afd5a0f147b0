"""Every command that a page shows is run, in the order of the page, with few images and epochs.

The commands of the tutorial are run by `test_tutorial.py`. A command that is not run stands in
`LEFT_OUT` with the reason.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import attentune
import numpy as np
import pytest
from PIL import Image
from postgresql_servers import new_server

ROOT = Path(attentune.__file__).resolve().parent
PROGRAMS = ("attentune", "python", "sqlite3")
LEFT_OUT = {
    r"pip install|^make |^bash ": "installs or tests the project itself",
    r"^ray |ray start|^sbatch|--pool ray": "needs a cluster; a test below, marked `ray`, has one",
    r"--gpus-per-trial": "needs several GPUs; tests of groups of processes train on CPUs",
    r"s3://": "needs a bucket; test_s3.py simulates one",
    r"yolo_detection": "needs Ultralytics and its data; test_yolo_detection.py runs the example",
}
"""What is not run, as a pattern, and why."""
NEEDED = {
    "--follow mlflow": "mlflow",
    "--to wandb": "wandb",
    "segmentation:": "segmentation_models_pytorch",
    "--onnx": "onnxruntime",
}
"""The package without which a command cannot run, by a part of the command."""
FEW_IMAGES = "--image-size 32 --train-limit 64 --batch-size 16 --val-fraction 0.25 --lr 0.004"
FEW_IMAGES += " --stem native --precision float32 --memory-format contiguous"
LESS = {
    "search": "--trials 3 --epochs 1 --workers 1",
    "resume": "--trials 4",
    "confirm": "--top 1 --seeds 2 --epochs 1",
    "dashboard": "--port 0",
}
"""Options that make a command shorter. The last of two that contradict each other counts."""
REPLACED = {
    "--trial 7": "--trial 1",
    "--backbone resnet50 --data": "--backbone resnet18 --data",
    "resnet50.safetensors": "resnet18.safetensors",
    "train.py:train --metric miou": "my_module:train --metric miou",
}
"""What a page names, and the prepared folder has under another name or not."""
ENDS_WITH = {"attentune check my_module:MyCBAM": 1}
"""Exit codes that are not 0."""
SCRIPT = """
import json, os
print("ATTENTUNE", json.dumps({"epoch": int(os.environ["ATTENTUNE_EPOCHS"]), "top1": 0.5}))
"""


def blocks_of(page: str) -> list[list[str]]:
    """The commands of a page, block by block, without comments and with lines joined."""
    text = (ROOT / page).read_text("utf-8").replace("\\\n", " ")
    shown = re.findall(r"^```(\w*)\n(.*?)^```", text, re.S | re.M)
    blocks = [
        [re.sub(r"\s+# .*", "", line).strip() for line in block.splitlines()]
        for language, block in shown
        if language in ("", "bash")
    ]
    return [[line for line in block if is_command(line)] for block in blocks]


def is_command(line: str) -> bool:
    words = re.sub(r"^(\w+=\S+ )+", "", line).split()
    known = (*PROGRAMS, "export", "pip", "make", "bash", "ray", "sbatch")
    return bool(words) and words[0] in known


PAGES = [
    page
    for page in ["README.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
    if any(blocks_of(page)) and page != "docs/tutorial.md"
]


def reason_to_leave_out(command: str) -> str | None:
    return next((why for part, why in LEFT_OUT.items() if re.search(part, command)), None)


def test_what_is_left_out_is_shown_somewhere():
    commands = [command for page in PAGES for block in blocks_of(page) for command in block]
    for part in LEFT_OUT:
        assert any(re.search(part, command) for command in commands), part
    for part in (*NEEDED, *REPLACED, *ENDS_WITH):
        assert any(part in command for command in commands), part


class Terminal:
    """A shell in a folder, with `attentune` among its programs.

    Attributes:
        folder: where commands run; it is also the home folder.
        environment: variables, of which `export` adds some.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir(exist_ok=True)
        for name, start in (("attentune", "-m attentune"), ("python", "")):
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {start} "$@"\n')
            (programs / name).chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "COLUMNS": "80",
            "HF_HUB_OFFLINE": "1",
            "WANDB_MODE": "offline",
            "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).strip(
                os.pathsep
            ),
        }

    def run(self, command: str, exit_code: int | None = 0) -> str:
        """Run a command; what it printed. Its exit code must be this one, unless that is None."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if exit_code is not None:
            assert done.returncode == exit_code, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def serve(self, command: str) -> None:
        """Run a command that serves until Ctrl-C, and end it so once it has its address."""
        with subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout
            lines = [process.stdout.readline()]
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            lines += process.stdout.readlines()
        assert "http://" in "".join(lines), lines
        assert process.returncode in (0, 130), lines


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages take for granted: images, modules, weights, a study `mine`."""
    folder = tmp_path_factory.mktemp("prepared")
    rng = np.random.default_rng(0)
    for split, count in (("train", 48), ("test", 12)):
        for shade, name in enumerate(("dark", "light")):
            place = folder / "photos" / split / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 100, (32, 32, 3), np.uint8) + np.uint8(100 * shade)
                Image.fromarray(pixels).save(place / f"{number}.png")
    Image.fromarray(pixels).save(folder / "photo.jpg")
    shutil.copy(ROOT / "tests" / "my_module.py", folder)
    for example in (ROOT / "examples").iterdir():
        if example.suffix == ".py":
            shutil.copy(example, folder)
    (folder / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "demo.toml", folder / "examples")
    (folder / "train.py").write_text(SCRIPT)
    plugin = (ROOT / "docs" / "plugins.md").read_text("utf-8").split("```python\n")[1]
    (folder / "my_attention.py").write_text(plugin.partition("\n\n\nmodel = ")[0])
    terminal = Terminal(folder)
    terminal.run(
        "attentune search mine --backbone test_resnet --data photos --trials 4 --epochs 1 "
        f"--workers 1 {FEW_IMAGES}"
    )
    return folder


@pytest.fixture
def terminal(prepared: Path, tmp_path: Path) -> Terminal:
    """A terminal in a copy of the prepared folder."""
    shutil.copytree(prepared, tmp_path / "home")
    return Terminal(tmp_path / "home")


def write_own_files(page: str, folder: Path) -> None:
    """Write the files that the commands of one page name, and no other page."""
    if page == "docs/own_training.md":
        code = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.S | re.M)
        (folder / "train.py").write_text(code[0])
    if page == "docs/finetuning.md":
        from attentune.spaces.backbones.timm_compat import import_timm
        from safetensors.torch import save_file

        network = import_timm().create_model("resnet18", num_classes=1000)
        save_file(network.state_dict(), folder / "resnet18.safetensors")


def shorten(command: str) -> str:
    """The command with options that make it shorter."""
    for shown, used in REPLACED.items():
        command = command.replace(shown, used)
    words = shlex.split(command)
    verb = words[words.index("attentune") + 1] if "attentune" in words else ""
    command = f"{command} {LESS.get(verb, '')}".strip()
    return f"{command} {FEW_IMAGES}" if verb == "search" and "--evaluate" not in words else command


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page, terminal, request):
    write_own_files(page, terminal.folder)
    if page == "docs/plugins.md":
        terminal.environment["ATTENTUNE_PLUGINS"] = "my_attention"
    server = None
    for block in blocks_of(page):
        for command in block:
            needed = next((package for part, package in NEEDED.items() if part in command), None)
            if reason_to_leave_out(command):
                continue
            if needed and find_spec(needed) is None:
                command = command.replace(" --follow mlflow", "")
                if any(part in command for part in NEEDED):
                    continue
            if "postgresql://" in command:
                server = server or request.getfixturevalue("database_server")
                if server is None:
                    continue
                command = re.sub(r"postgresql://\S+", f"'{server}'", command)
            if command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                terminal.environment[name] = value.strip("'")
                continue
            run_as_shown(terminal, command)


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_the_commands_for_several_machines_run_in_a_cluster(ray_cluster, prepared, database_server):
    terminal = Terminal(prepared)
    terminal.environment["RAY_ADDRESS"] = ray_cluster.address
    commands = [c for block in blocks_of("docs/clusters.md") for c in block]
    commands = [command for command in commands if re.match("attentune .*--pool ray", command)]
    assert [command.split()[1] for command in commands] == ["doctor", "search"]
    for command in commands:
        command = command.replace("/shared/attentune", str(prepared)).replace("~/flowers", "photos")
        if database_server is not None:
            command = command.replace("postgresql://lab@server/studies", f"'{database_server}'")
        else:
            command = re.sub(r"--db \S+", "", command)
        run_as_shown(terminal, command)


@pytest.mark.slow
def test_a_check_prints_what_the_page_shows(terminal):
    page = (ROOT / "docs" / "code.md").read_text("utf-8")
    shown = re.search(r"^```\n(my_module:MyCBAM, made as.*?)^```", page, re.S | re.M)
    assert shown
    printed = terminal.run("attentune check my_module:MyCBAM", exit_code=1)
    assert [line.rstrip() for line in printed.splitlines()] == shown[1].splitlines()


@pytest.mark.slow
def test_the_snippet_about_predictions_gives_the_accuracy_of_its_trial(prepared, monkeypatch):
    page = (ROOT / "docs" / "storage.md").read_text("utf-8")
    snippet = re.search(r"^```python\n(.*?)^```", page, re.S | re.M)
    assert snippet
    accuracies = set()
    for file in prepared.glob("attentune.artifacts/**/predictions.npz"):
        monkeypatch.chdir(file.parent)
        names: dict = {}
        exec(snippet[1], names)
        assert np.allclose(names["probabilities"].sum(1), 1, atol=0.01)
        accuracies.add(round(names["accuracy"], 6))
    trials = json.loads(Terminal(prepared).run("attentune show mine --json"))["trials"]
    assert accuracies == {round(trial["values"]["accuracy"], 6) for trial in trials}


@pytest.mark.slow
def test_the_table_of_a_study_has_the_columns_that_the_page_shows(prepared):
    page = (ROOT / "docs" / "dashboard.md").read_text("utf-8")
    shown = re.search(r"^>>> (study\.to_pandas.*)\n(.*)\n(.*)\n", page, re.M)
    assert shown
    study = attentune.open_study("mine", db=prepared / "attentune.db")
    header, index = str(eval(shown[1], {"study": study})).splitlines()[:2]
    assert (header.split(), index.split()) == (shown[2].split(), shown[3].split())


@pytest.mark.slow
def test_the_snippets_of_the_readme_run(prepared, monkeypatch):
    Terminal(prepared).run("attentune export mine -o model")
    code = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.S | re.M
    )
    monkeypatch.chdir(prepared)
    names: dict = {}
    exec(code[0].replace("pretrained=True", "pretrained=False"), names)
    assert names["model"].attentune["study"] == "mine"


@pytest.mark.slow
def test_the_snippet_about_trackers_runs(terminal):
    pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    page = (ROOT / "docs" / "dashboard.md").read_text("utf-8")
    snippet = re.search(r"^```python\n(.*?)^```", page, re.S | re.M)
    assert snippet
    few = "trials=3, epochs=1, workers=1, image_size=32, train_limit=64, lr=0.004"
    code = snippet[1].replace('data="photos",', f'data="photos", {few},')
    indented = re.sub("^", "    ", code.partition("\n")[2], flags=re.M)
    first = code.partition("\n")[0]
    script = f"import attentune\n{first}\nif __name__ == '__main__':\n{indented}"
    (terminal.folder / "trackers.py").write_text(script)
    terminal.run("attentune rm mine --yes")
    terminal.run("python trackers.py")
    assert list((terminal.folder / "runs").rglob("events*"))


def run_as_shown(terminal: Terminal, command: str) -> None:
    """Run one command in a folder in which it makes sense."""
    if command.startswith("attentune search "):
        terminal.run(f"attentune rm {command.split()[2]} --yes", exit_code=None)
    if command.startswith("attentune rm "):  # Later commands need the study.
        copied = terminal.folder.with_name("copied")
        shutil.copytree(terminal.folder, copied)
        Terminal(copied).run(f"{command} --yes")
        shutil.rmtree(copied)
    elif command.startswith("attentune dashboard"):
        terminal.serve(shorten(command))
    else:
        terminal.run(shorten(command), ENDS_WITH.get(command, 0))
        for file in re.findall(r" -o (\S+)", command):
            assert (terminal.folder / file).exists(), command


@pytest.fixture
def database_server():
    """The URL of a PostgreSQL database; None if no server is installed."""
    if not any(Path("/usr/lib/postgresql").glob("*/bin")):
        yield None
        return
    with new_server() as server:
        yield server.url
