"""The connection to a Ray cluster: what is refused before Ray is imported, what is passed on."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from attentune.errors import MachineError, UsageError
from attentune.runners.workers import ray_cluster
from attentune.runners.workers.pool import PoolSettings, check_pool, make_pool
from attentune.runners.workers.ray_cluster import RayCluster


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED")


class ReachedError(Exception):
    pass


@pytest.fixture
def connect(monkeypatch):
    """Connect up to the point at which Ray is imported, and return the environment there."""

    def stop():
        raise ReachedError

    monkeypatch.setattr(ray_cluster, "import_ray", stop)

    def connect(address):
        with pytest.raises(ReachedError):
            RayCluster.connect(address)

    return connect


@pytest.fixture
def head_node():
    """The address of something that answers on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_without_ray_the_message_says_what_to_install(monkeypatch):
    def import_module(name, *arguments):
        raise ImportError(name)

    monkeypatch.setattr(ray_cluster.importlib, "import_module", import_module)
    for make in (make_pool, check_pool):
        with pytest.raises(MachineError, match=r"pip install 'attentune\[ray\]'"):
            make("ray", PoolSettings("cpu", ray_address="local"))


def test_nothing_imports_ray_unless_it_is_asked_for():
    code = (
        "import sys, attentune\n"
        "from attentune.runners.workers import ray_pool, ray_worker, cluster_check\n"
        "from attentune.search.cli import app\n"
        "assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_usage_statistics_are_off_unless_the_user_has_decided(connect, monkeypatch, tmp_path):

    connect("local")
    assert os.environ.pop("RAY_USAGE_STATS_ENABLED") == "0"
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "config.json").write_text(json.dumps({"usage_stats": True}), "utf-8")
    connect("local")
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    connect("local")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "1"


def test_a_token_is_passed_on(connect, head_node, tmp_path, monkeypatch):

    connect(head_node)
    assert "RAY_AUTH_MODE" not in os.environ, "this machine's own cluster may have none"
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret", "utf-8")
    connect(head_node)
    assert os.environ.pop("RAY_AUTH_MODE") == "token"
    monkeypatch.setenv("RAY_ADDRESS", head_node)
    connect("auto")
    assert os.environ.pop("RAY_AUTH_MODE") == "token"


def test_a_foreign_cluster_without_a_token_is_refused(connect, head_node, monkeypatch):
    monkeypatch.setattr(ray_cluster, "_own_addresses", lambda: {"10.0.0.1"})
    with pytest.raises(UsageError, match=r"on another machine.*no authentication token"):
        RayCluster.connect(head_node)
    with monkeypatch.context() as patched:
        patched.setenv("RAY_AUTH_MODE", "disabled")
        connect(head_node)
    with monkeypatch.context() as patched:
        patched.setenv("RAY_AUTH_TOKEN", "secret")
        connect(head_node)


def test_an_address_where_nothing_answers_is_named(head_node):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(MachineError, match=f"no Ray cluster answers at {address}.*ray start"):
        RayCluster.connect(address)


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("Could not find any running Ray instance.", "no Ray cluster on this machine; start one"),
        ("RPC error: InvalidAuthToken", "asks for another authentication token.*RAY_AUTH_TOKEN"),
        (
            "Version mismatch: The cluster was started with:\n    Python: 3.12.1\n"
            "This process on x was started with:\n    Python: 3.11.7\n",
            r"started with: Python: 3.12.1 This .* Python: 3.11.7\. All nodes need the same",
        ),
        ("cannot find node_ip_address.json", "this machine is no node.*ray start --address=auto"),
        ("It is broken.", r"the Ray cluster \(auto\) cannot be used: .*is it running"),
    ],
)
def test_what_ray_says_becomes_a_sentence(monkeypatch, message, sentence):
    def init(**_):
        try:
            raise RuntimeError(message)
        except RuntimeError as error:
            raise ConnectionError("Failed to connect") from error

    ray = SimpleNamespace(init=init, is_initialized=lambda: False, shutdown=lambda: None)
    monkeypatch.setattr(ray_cluster, "import_ray", lambda: ray)
    monkeypatch.setattr(ray_cluster, "_require_head_node", lambda: None)
    with pytest.raises(MachineError, match=sentence):
        RayCluster.connect("auto")


def test_a_cluster_that_has_ended_is_not_waited_for(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="needs Ray: pip install 'attentune[ray]'")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(address, "utf-8")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(MachineError, match=f"no Ray cluster answers at {address}"):
        RayCluster.connect("auto")
