"""The checks of a Ray cluster as `attentune doctor --pool ray` shows them."""

from __future__ import annotations

import pytest
from attentune.errors import MachineError
from attentune.runners.inspection import cluster_doctor
from attentune.runners.inspection.cluster_doctor import check_cluster
from attentune.runners.workers.cluster_check import NodeCheck
from attentune.runners.workers.ray_cluster import ClusterNode

VERSIONS = {
    "python": "3.11.7",
    "torch": "2.13",
    "timm": "1",
    "attentune": "0.1",
    "plug-ins": "none",
}


class FakeCluster:
    def nodes(self):
        return [ClusterNode(name, name, 8, gpus) for name, gpus in (("a", 0), ("b", 2), ("c", 0))]

    def close(self):
        pass


class FakeCheck:
    def __init__(self, _cluster, _folders, *, count_gpus):
        assert count_gpus
        self.here = {"versions": {"ray": "2.60.0"}}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def check(self, _nodes):
        return [
            NodeCheck("a", VERSIONS, None, clock_seconds=61.4),
            NodeCheck("b", VERSIONS, ["A100", "A100"], problems=("has torch 1", "lacks it")),
            NodeCheck("c", is_reachable=False),
        ]


def test_each_node_is_one_line(monkeypatch):
    monkeypatch.setattr(cluster_doctor.RayCluster, "connect", lambda _: FakeCluster())
    monkeypatch.setattr(cluster_doctor, "ClusterCheck", FakeCheck)
    ray, a, b, c = check_cluster("auto", "/shared")
    assert (ray.ok, ray.detail) == (True, "2.60.0, 3 nodes with 24 CPUs and 2 GPUs")
    assert a.ok
    assert a.detail.startswith("as this machine: python 3.11.7, torch 2.13, timm 1, attentune 0.1;")
    assert a.detail.endswith("shares /shared; its clock is 61 s ahead, which its logs show")
    assert (b.name, b.ok, b.detail) == ("node b", False, "has torch 1; lacks it")
    assert not c.ok


def test_a_cluster_that_cannot_be_reached_is_the_outcome_of_its_check(monkeypatch):
    def refuse(_):
        raise MachineError("there is no Ray cluster on this machine")

    monkeypatch.setattr(cluster_doctor.RayCluster, "connect", refuse)
    (ray,) = check_cluster("auto", "/shared")
    assert (ray.ok, ray.detail) == (False, "there is no Ray cluster on this machine")


@pytest.mark.ray
def test_a_cluster_of_this_machine_passes(ray_cluster, tmp_path):
    ray, node = check_cluster(ray_cluster.address, str(tmp_path / "shared"))
    assert ray.ok
    assert "1 node with 1 CPU and 0 GPUs" in ray.detail
    assert node.ok, node.detail
    assert not (tmp_path / "shared").exists()
