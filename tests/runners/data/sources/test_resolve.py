"""Which source a text means, where more than one could be meant."""

from __future__ import annotations

import pytest
from attentune.errors import DataError
from attentune.runners.data.sources.embedded import DigitSource
from attentune.runners.data.sources.folder_source import FileSource
from attentune.runners.data.sources.resolve import open_source
from attentune.runners.data.sources.timm_source import TimmSource

from ..image_files import TWENTY, files, folder


def test_an_embedded_name_takes_precedence_over_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "digits", files(TWENTY))
    assert isinstance(open_source("digits"), DigitSource)
    assert isinstance(open_source("./digits"), FileSource)


def test_a_path_that_exists_takes_precedence_over_a_set_of_timm(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_source("torch/pets"), TimmSource)
    folder(tmp_path / "torch" / "pets", files(TWENTY))
    assert isinstance(open_source("torch/pets"), FileSource)


def test_the_users_home_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder(tmp_path / "pets", files(TWENTY))
    assert open_source("~/pets").classes == ("cats", "dogs", "owls")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("digitz", "did you mean 'digits'"),
        ("zzz", "known: cluttered-digits, cued-digits, digits"),
        ("pets.zip", "there is no file or folder 'pets.zip'"),
        ("my/pets", "there is no file or folder 'my/pets'"),
    ],
)
def test_a_text_that_names_nothing_is_refused_with_advice(spec, words):
    with pytest.raises(DataError, match=words):
        open_source(spec)
