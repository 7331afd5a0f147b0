"""timm is imported, and its names are known."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from attentune.spaces.backbones.timm_compat import backbone_names, check_backbone, import_timm


def test_timm_is_there_with_its_names():
    assert import_timm().create_model("test_resnet", num_classes=2) is not None
    assert {"resnet18", "convnext_tiny"} <= set(backbone_names())
    check_backbone("resnet50.a1_in1k")


def test_another_failure_of_torchvision_is_not_covered_up(tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator x::y does not exist')")
    script = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from attentune.spaces.backbones.timm_compat import import_timm
        try:
            import_timm()
        except RuntimeError as error:
            assert str(error) == "operator x::y does not exist", error
        else:
            sys.exit("it was covered up")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=120)
