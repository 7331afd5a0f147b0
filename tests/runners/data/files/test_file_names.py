"""What is an image by its name, and how the rest is counted and described."""

from __future__ import annotations

import pytest
from attentune.runners.data.files.file_names import Reason, describe_left_out, reason_to_leave_out

from ..listings import listing_of


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("cats/1.jpg", None),
        ("cats/1.JFIF", None),
        ("cats/a.b.webp", None),
        ("cats/1.heic", Reason.FORMAT),
        ("cats/1.NEF", Reason.FORMAT),
        ("cats/1.mp4", Reason.FORMAT),
        ("cats/1.txt", Reason.NO_IMAGE),
        ("cats/1", Reason.NO_IMAGE),
        ("cats.zip", Reason.ARCHIVE),
        ("cats/._1.jpg", Reason.HIDDEN),
        (".git/1.jpg", Reason.HIDDEN),
        ("cats/.ipynb_checkpoints/1-checkpoint.jpg", Reason.HIDDEN),
        ("cats/.@__thumb/s800/1.jpg", Reason.SYSTEM),
        ("cats/@eaDir/1.jpg/SYNOPHOTO_THUMB_XL.jpg", Reason.SYSTEM),
        ("cats/SYNOFILE_THUMB_M.png", Reason.SYSTEM),
        ("__MACOSX/cats/1.jpg", Reason.SYSTEM),
        ("#recycle/cats/1.jpg", Reason.SYSTEM),
        ("$RECYCLE.BIN/1.jpg", Reason.SYSTEM),
        ("lost+found/1.jpg", Reason.SYSTEM),
        ("System Volume Information/1.jpg", Reason.SYSTEM),
        ("cats/Thumbs.db", Reason.SYSTEM),
        ("cats/desktop.ini", Reason.SYSTEM),
    ],
)
def test_a_file_is_left_out_for_a_reason(path, reason):
    assert reason_to_leave_out(path.split("/")) == reason


def test_what_is_left_out_is_described_by_suffix_and_reason():
    listing = listing_of(
        "cats/1.jpg",
        *(f"cats/{number}.heic" for number in range(1200)),
        "dogs/1.CR2",
        "dogs/readme.txt",
        "dogs/readme",
        "cats/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg",
    )
    assert describe_left_out(listing.left_out) == (
        "1,200 .heic and 1 .cr2 in a format that is not read, "
        "1 file without suffix and 1 .txt that are not named as images, "
        "1 .jpg of the system or a storage server"
    )


def test_many_suffixes_are_summed_up():
    files = [f"cats/{letter}.{letter}" for letter in "abcdefgh"]
    assert "3 others that are not named as images" in describe_left_out(listing_of(*files).left_out)


def test_files_of_systems_are_counted_in_one_place_and_make_no_folder():
    listing = listing_of(*(f"cats/@eaDir/{n}.jpg/SYNO.jpg" for n in range(9)), "cats/1.jpg")
    assert listing.folders == ("cats",)
    (left_out,) = listing.left_out
    assert (left_out.folder, left_out.count) == ("cats/@eaDir", 9)
