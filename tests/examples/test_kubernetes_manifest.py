"""The manifest for KubeRay: it can be read, and its commands, versions and volumes fit together."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import attentune
import typer
import yaml
from attentune.search.cli import app

ROOT = Path(attentune.__file__).resolve().parent
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def manifest():
    text = (ROOT / "examples" / "kubernetes" / "ray-job.yaml").read_text("utf-8")
    return yaml.safe_load(text)["spec"]


def pods(spec):
    cluster = spec["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_its_commands_exist_with_their_options():
    shell, flag, script = shlex.split(manifest()["entrypoint"])
    assert (shell, flag) == ("sh", "-c")
    assert "\n" not in script
    commands = re.findall(r"attentune (\w+) ([^;>]*)", script)
    assert [verb for verb, _ in commands] == ["show", "resume", "search"]
    for verb, words in commands:
        known = {option for parameter in COMMANDS[verb].params for option in parameter.opts}
        assert {word for word in words.split() if word.startswith("--")} <= known, verb


def test_all_pods_have_one_image_one_environment_and_the_shared_volume():
    specs = pods(manifest())
    containers = [container for spec in specs for container in spec["containers"]]
    assert len(containers) == 2
    assert len({container["image"] for container in containers}) == 1
    assert containers[0]["env"] == containers[1]["env"]
    for spec, container in zip(specs, containers, strict=True):
        volumes = {volume["name"] for volume in spec["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts.keys() == volumes
        assert mounts["shared"] == "/shared"


def test_its_version_of_ray_is_the_tested_one_and_the_cluster_asks_for_a_token():
    cluster = manifest()["rayClusterSpec"]
    pins = (ROOT / "constraints.txt").read_text("utf-8")
    assert f"\nray=={cluster['rayVersion']}\n" in pins
    assert cluster["authOptions"] == {"mode": "token"}
