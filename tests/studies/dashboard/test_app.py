"""The application starts without torch and knows its pages."""

from __future__ import annotations

import subprocess
import sys

from attentune.studies.dashboard.app import FORMER_PATHS, PAGES


def test_the_dashboard_is_there_without_torch():
    code = (
        "import sys; from attentune.studies.dashboard import app, serve; "
        "assert not {'torch', 'timm', 'torchvision', 'optuna'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_links_of_earlier_versions_lead_to_a_page():
    assert set(FORMER_PATHS.values()) <= set(PAGES)
    assert not FORMER_PATHS.keys() & PAGES.keys()
