"""Checks of the nodes of a cluster, on nodes that are functions of this process."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from attentune.errors import MachineError
from attentune.runners.workers.cluster_check import (
    CHECK_FOLDER,
    ClusterCheck,
    describe_problems,
    make_token,
    require_equal_nodes,
)
from attentune.runners.workers.ray_cluster import ClusterNode

NODE = ClusterNode("f00d", "gpu-2", cpus=4, gpus=2)


class FakeRay:
    """Runs a task at once, and changes the facts that it returns."""

    def __init__(self, change=lambda _: None):
        self.change = change
        self.cloudpickle = SimpleNamespace(
            register_pickle_by_value=lambda _: None, unregister_pickle_by_value=lambda _: None
        )
        error = type("RayError", (Exception,), {})
        self.exceptions = SimpleNamespace(
            RayError=error, GetTimeoutError=type("GetTimeoutError", (error,), {})
        )

    def remote(self, **_):
        def run(function):
            def call(*arguments):
                facts = function(*arguments)
                self.change(facts)
                return facts

            task = SimpleNamespace(remote=call)
            task.options = lambda **_: task
            return task

        return run

    def wait(self, references, **_):
        return references, []

    def get(self, reference, **_):
        return reference


def check_node(tmp_path, change=lambda _: None, files=(), scheme=""):
    cluster = SimpleNamespace(ray=FakeRay(change), on_node=lambda _: {})
    with ClusterCheck(cluster, [f"{scheme}{tmp_path}/shared"], files) as check:
        (outcome,) = check.check([NODE])
    shared = tmp_path / "shared"
    assert not list(shared.glob("*")) if scheme else not shared.exists(), "nothing is left"
    return outcome


def test_a_node_like_this_machine_passes(tmp_path):
    file = tmp_path / "code.py"
    file.write_text("x", "utf-8")
    check = check_node(tmp_path, files=[file])
    assert (check.problems, check.clock_seconds, check.is_reachable) == ((), 0.0, True)
    require_equal_nodes([check])


def test_each_difference_is_one_clause_with_the_node(tmp_path):
    file = tmp_path / "code.py"
    file.write_text("x", "utf-8")

    def change(facts):
        facts["versions"] |= {"python": "3.11.2", "torch": "2.9.0+cu130"}
        facts["folders"] = dict.fromkeys(facts["folders"], "does not have it")
        facts["files"] = {str(file): "another digest"}
        facts["gpus"] = ["A100"]

    check = check_node(tmp_path, change, [file])
    python, torch, folder, code, gpus = describe_problems(check)
    assert python.startswith("gpu-2 has python 3.11.2, and this machine 3.")
    assert torch.startswith("gpu-2 has torch 2.9.0+cu130, and this machine ")
    assert folder.startswith(f"gpu-2 does not have it: {tmp_path / 'shared'}")
    assert "--artifacts" in folder
    assert code == f"gpu-2 has another file {file}"
    assert gpus == "gpu-2 has 2 GPUs for Ray, but torch sees 1"
    with pytest.raises(MachineError, match=r"cannot run one study together: gpu-2 has python"):
        require_equal_nodes([check])


def test_a_url_is_read_and_written_by_the_node(tmp_path):
    assert check_node(tmp_path, scheme="file://").problems == ()

    def change(facts):
        facts["folders"] = dict.fromkeys(facts["folders"], "lacks a package for it (Install s3fs)")

    (problem,) = check_node(tmp_path, change, scheme="file://").problems
    assert problem.startswith(
        f"lacks a package for it (Install s3fs): file://{tmp_path}/shared, wh"
    )
    with pytest.raises(MachineError, match="cannot write"):
        make_token("file:///proc/attentune")


def test_an_answer_that_does_not_arrive_is_of_another_folder(tmp_path):
    def change(_):
        for answer in (tmp_path / "shared").glob(f"{CHECK_FOLDER}*/{NODE.id}"):
            answer.unlink()

    (problem,) = check_node(tmp_path, change).problems
    assert problem.startswith("has another folder at this path")


@pytest.mark.parametrize(("ahead", "reported"), [(1.0, False), (60.0, True), (-60.0, True)])
def test_clocks_that_differ_noticeably_are_reported(tmp_path, ahead, reported):
    def change(facts):
        facts["time"] = time.time() + ahead

    check = check_node(tmp_path, change)
    assert (abs(check.clock_seconds) > 50) == reported
    assert not check.problems


def test_a_folder_that_this_machine_cannot_write_is_refused(tmp_path):
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(MachineError, match="cannot be written"):
        ClusterCheck(SimpleNamespace(), [str(tmp_path / "file" / "shared")])
