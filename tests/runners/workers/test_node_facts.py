"""What a node says of itself, on a machine that need not have attentune."""

from __future__ import annotations

import ast
import hashlib
import inspect
import platform
import sys
from pathlib import Path

from attentune.runners.workers import node_facts
from attentune.runners.workers.node_facts import NOT_INSTALLED, PACKAGES, describe_node


def test_versions_name_python_to_the_patch_and_the_code_of_attentune(monkeypatch):
    versions = describe_node({}, "", [], count_gpus=False)["versions"]
    assert versions["python"] == platform.python_version()
    assert list(versions) == ["python", *PACKAGES, "plug-ins"]
    assert " (code " in versions["attentune"]
    monkeypatch.setattr(node_facts, "CODE_FOLDERS", ("spaces",))
    other = describe_node({}, "", [], count_gpus=False)["versions"]
    assert other["attentune"] != versions["attentune"], "the digest follows from the code"
    monkeypatch.setattr(node_facts, "PACKAGES", ("nosuchpackage", "attentune"))
    assert describe_node({}, "", [], count_gpus=False)["versions"]["nosuchpackage"] == NOT_INSTALLED


def test_a_folder_is_shared_if_its_token_is_read_and_the_answer_written(tmp_path):
    token = tmp_path / "token"
    token.write_text("abc", "utf-8")
    tokens = {str(token): "abc", str(tmp_path / "missing" / "token"): "abc"}
    facts = describe_node(tokens, "node1", [], count_gpus=False)
    assert list(facts["folders"].values()) == [None, "does not have it"]
    assert (tmp_path / "node1").read_text("utf-8") == "abc"
    another = describe_node({str(token): "xyz"}, "node1", [], count_gpus=False)
    assert another["folders"] == {str(token): "has another folder at this path"}


def test_files_are_compared_by_content(tmp_path):
    file = tmp_path / "train.py"
    file.write_bytes(b"code")
    facts = describe_node({}, "", [str(file), str(tmp_path / "missing")], count_gpus=False)
    assert list(facts["files"].values()) == [hashlib.sha256(b"code").hexdigest(), None]


def test_gpus_are_counted_by_torch_in_a_process_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text(
        "import os\n"
        "HIDING = 'CUDA_VISIBLE_DEVICES'\n"
        "class cuda:\n"
        "    device_count = staticmethod(lambda: 0 if HIDING in os.environ else 2)\n"
        "    get_device_name = staticmethod(lambda number: f'GPU {number}')\n",
        "utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert describe_node({}, "", [], count_gpus=True)["gpus"] == ["GPU 0", "GPU 1"]
    (tmp_path / "torch.py").write_text("raise ImportError('no libcuda')", "utf-8")
    assert describe_node({}, "", [], count_gpus=True)["gpus"] == "ImportError: no libcuda"


def test_the_module_needs_nothing_but_python():
    tree = ast.parse(Path(inspect.getfile(node_facts)).read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).partition(".")[0]
        for node in imports
    }
    # fsspec is imported for a URL, where a node that lacks it says so.
    assert names - {"__future__", "fsspec"} <= sys.stdlib_module_names
