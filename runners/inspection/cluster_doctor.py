"""Check a Ray cluster before a search does: `attentune doctor --pool ray`."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import AttentuneError
from ..workers.cluster_check import ClusterCheck, NodeCheck
from ..workers.ray_cluster import ClusterNode, RayCluster, describe_count
from .doctor import Check

NODE_ADVICE = (
    "give all nodes the same versions, files and shared places, start Ray on this node again, and "
    "look once more"
)


def check_cluster(address: str, artifacts: str) -> list[Check]:
    """Check every node of a cluster. An error becomes the outcome of a check and is not raised.

    Args:
        address: as `--ray-address`.
        artifacts: the folder or URL that all nodes have to share.
    """
    try:
        cluster = RayCluster.connect(address)
    except AttentuneError as error:
        return [Check("ray", False, str(error))]
    try:
        nodes = cluster.nodes()
        with ClusterCheck(cluster, [artifacts], count_gpus=True) as check:
            outcomes = check.check(nodes)
        return [
            Check("ray", True, f"{check.here['versions']['ray']}, {_describe_resources(nodes)}"),
            *(
                _describe_node(node, each, artifacts)
                for node, each in zip(nodes, outcomes, strict=True)
            ),
        ]
    except AttentuneError as error:
        return [Check("ray", False, str(error))]
    finally:
        cluster.close()


def _describe_resources(nodes: Sequence[ClusterNode]) -> str:
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    held = f"{describe_count(cpus, 'CPU')} and {describe_count(gpus, 'GPU')}"
    return f"{describe_count(len(nodes), 'node')} with {held}"


def _describe_node(node: ClusterNode, check: NodeCheck, artifacts: str) -> Check:
    name = f"node {node.name}"
    if not check.is_reachable:
        return Check(name, False, "has left the cluster, or has only just joined it; try again")
    if check.problems:
        return Check(name, False, "; ".join(check.problems), NODE_ADVICE)
    gpus = ", ".join(check.gpus) if isinstance(check.gpus, list) and check.gpus else "no GPU"
    versions = ", ".join(f"{k} {check.versions[k]}" for k in ("python", "torch", "timm"))
    plugins = check.versions["plug-ins"]
    parts = [
        f"as this machine: {versions}, attentune {check.versions['attentune']}",
        f"plug-ins {plugins}",
        f"{describe_count(node.cpus, 'CPU')}, {gpus}",
        f"shares {artifacts}",
    ]
    advice = None
    if check.clock_seconds:
        advice = "let NTP set the clocks of all nodes"
        side = "ahead" if check.clock_seconds > 0 else "behind"
        parts.append(f"its clock is {abs(check.clock_seconds):.0f} s {side}, which its logs show")
    return Check(name, True, "; ".join(parts), advice)
