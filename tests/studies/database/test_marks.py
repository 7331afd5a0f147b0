"""Stars, tags and notes of trials: stored, replaced, removed with their study."""

from __future__ import annotations

import pytest
from attentune.errors import StudyError
from attentune.studies.database.marks import MarkRepository
from attentune.studies.trial_marks import MAX_NOTE_LENGTH, MAX_TAGS, NO_MARKS, TrialMarks


def test_marks_are_stored_replaced_and_removed(store, study, add):
    number = add("resnet18", 0.5)
    before = store.marks.version(study)
    marks = TrialMarks(True, ("good", "224 px"), "second line\n= 3")
    store.marks.put(study, number, marks)
    assert store.marks.read(study) == {number: marks}
    assert store.marks.version(study) != before
    store.marks.put(study, number, TrialMarks(tags=("other",)))
    assert store.marks.read(study) == {number: TrialMarks(tags=("other",))}
    store.marks.put(study, number, NO_MARKS)
    assert store.marks.read(study) == {}
    with pytest.raises(StudyError, match="no trial 77"):
        store.marks.put(study, 77, marks)
    store.marks.put(study, number, marks)
    store.delete_study("first")
    again = store.studies.create("first", backbone="x", objectives=("accuracy",), config={}, seed=0)
    assert store.marks.read(again) == {}


def test_a_database_of_an_earlier_version_has_none(store, study, add, monkeypatch):
    store.marks.put(study, add("resnet18", 0.5), TrialMarks(True))
    monkeypatch.setattr(store._database, "revision", "0012")
    assert not store.marks.exists
    assert (store.marks.read(study), store.marks.version(study)) == ({}, "")
    assert isinstance(store.marks, MarkRepository)


def test_what_a_reader_types_is_cleaned_and_cut():
    tags = "a,  b\n,a,," + ",".join(str(n) for n in range(99))
    marks = TrialMarks.of(False, tags, "  x\x1b[31m" + "y" * 9999)
    assert marks.tags[:3] == ("a", "b", "0")
    assert len(marks.tags) == MAX_TAGS
    assert "\x1b" not in marks.note
    assert len(marks.note) <= MAX_NOTE_LENGTH
    assert TrialMarks(True, ("Big",), "Note").words == "starred #big note"
