"""Functions run in another process; what they raise comes back."""

from __future__ import annotations

import math
import os

import pytest
from attentune.studies.dashboard.background import BackgroundProcess


def test_functions_run_in_one_other_process() -> None:
    process = BackgroundProcess()
    first, second = process.call(os.getpid), process.call(os.getpid)
    assert first == second != os.getpid()
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        process.call(math.sqrt, -1)
    assert process.call(math.sqrt, 9) == 3.0
