"""data: what a search would see of a folder, an archive, a table or another data source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ...errors import DataError
from ...files import atomic_write
from ...interrupts import defer_interrupts
from ...runners.recipe import RGB_CHANNELS
from ...studies.text import formatting
from .options_from_settings import recipe_options
from .shared import Json, err, out, plain_table, print_json, print_line

if TYPE_CHECKING:
    from ...runners.data.examination.contents import DataContents
    from ...runners.data.examination.report import DataReport
    from ...runners.recipe import Recipe
    from ..setup.augmentation import AugmentationChoice

DATA_SETTINGS = (
    "split_folders", "leave_out", "data_root", "column", "fold", "image_size", "in_chans", "fit",
    "max_pixels", "train_limit", "val_fraction", "seed", "augment",
)  # fmt: skip
"""Settings of a search that decide what it sees of its data."""
MAX_SHOWN_CLASSES = 30
MAX_SHOWN_IMAGES = 10
"""On a terminal; `--json` has all of them."""
_SPLIT_TITLES = {"train": "training", "val": "validation", "test": "test"}


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(data)


@recipe_options(*DATA_SETTINGS)
def data(
    source: Annotated[
        str, typer.Argument(help="A folder, an archive, a table, or other data, as for --data.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Write a contact sheet of training images here, e.g. sheet.png."
        ),
    ] = None,
    as_json: Json = False,
    **settings: Any,
) -> None:
    """Show what a search would see of its data: classes, splits, what is left out or repeated.

    If a search would refuse the data, what there is, and why; then the exit code is 1.
    """
    with defer_interrupts():
        from ...runners.data.examination.report import report_data
        from ..setup.augmentation import describe_augmentation
        from ..setup.data_recipe import choose_data_recipe, read_data_request
        from .progress import decoding_progress

    request = read_data_request(source, settings)
    try:
        with decoding_progress(err, "reading the data") as progress:
            choice = choose_data_recipe(request, progress)
            report = report_data(choice.recipe, progress)
    except DataError as error:
        _show_refused(request.recipe_settings, error, as_json=as_json)
        raise
    augmentation = describe_augmentation(choice.recipe)
    if output is not None:
        _write_contact_sheet(output, choice.recipe, augmentation)
    if as_json:
        remarks = [*report.remarks, *choice.remarks]
        facts = {"augmentation": augmentation, "remarks": remarks, "refused": None}
        print_json({**report.to_json(), **facts})
        return
    _print_report(report, choice)
    if output is not None:
        print_line(f"contact sheet: {output}")


def _show_refused(settings: Mapping[str, Any], error: DataError, *, as_json: bool) -> None:
    """Show what data hold that a search refuses.

    Args:
        settings: of the recipe, by name.
        error: why they are refused.
        as_json: print JSON for programs.
    """
    from ...runners.data.examination.contents import read_contents
    from ...runners.data.sources.source import SourceOptions

    contents = read_contents(settings["data"], SourceOptions.of_settings(settings))
    if as_json:
        facts = {} if contents is None else contents.to_json()
        print_json({**facts, "refused": str(error)})
    elif contents is not None:
        _print_contents(contents)


def _print_contents(contents: DataContents) -> None:
    from ...runners.data.files.file_names import describe_left_out

    print_line(f"{contents.name}, which a search would refuse:")
    if contents.classes is not None and contents.counts is not None:
        _print_class_counts(contents.classes, contents.counts)
    if contents.folders:
        table = plain_table("folder", ">images")
        for path, count in contents.folders[:MAX_SHOWN_CLASSES]:
            table.add_row(Text(path or "."), formatting.integer(count))
        if rest := contents.folders[MAX_SHOWN_CLASSES:]:
            table.add_row(f"{len(rest)} more", formatting.integer(sum(n for _, n in rest)))
        out.print(table)
    if contents.left_out:
        print_line(f"left out: {describe_left_out(contents.left_out)}")
    for remark in contents.remarks:
        print_line(remark)


def _write_contact_sheet(path: Path, recipe: Recipe, augmentation: str) -> None:
    with defer_interrupts():
        from ...runners.inspection.contact_sheet import draw_contact_sheet, read_sheet_rows

    title = f"left: as trained on; right: {augmentation}"
    sheet = draw_contact_sheet(read_sheet_rows(recipe), title)
    with atomic_write(path) as draft:
        sheet.save(draft, "JPEG" if path.suffix.lower() in (".jpg", ".jpeg") else "PNG")


def _print_report(report: DataReport, choice: AugmentationChoice) -> None:
    _print_class_counts(report.classes, report.counts, report.held_out)
    sizes = report.sizes
    print_line(
        f"images: {_size(sizes.smallest)} to {_size(sizes.largest)} pixels in a sample, median "
        f"shorter side {sizes.median_shorter_side}; trained at "
        f"{report.image_size}×{report.image_size}, fit {choice.recipe.fit}"
        + (f", which keeps {sizes.kept:.0%} of them" if choice.recipe.fit == "crop" else "")
        + f"; those of more than {report.max_pixels:,} pixels are not read (--max-pixels)"
    )
    if report.is_grey:
        print_line(
            "all images are grey, and are trained on in RGB; --in-chans 1 trains on one channel"
        )
    elif report.channels != RGB_CHANNELS:
        print_line(f"channels: {report.channels}")
    for remark in (*choice.remarks, *report.remarks):
        print_line(remark)
    for split, (name, share) in report.majority.items():
        if split == "val":
            print_line(
                f"majority: {share:.1%} of the validation images are {name!r}, so that is the "
                "accuracy of a network that always says it"
            )
    _print_broken(report)
    _print_repeated(report)


def _print_class_counts(
    classes: Sequence[str],
    counts_by_split: Mapping[str, Sequence[int]],
    held_out: Sequence[str] = (),
) -> None:
    splits = list(counts_by_split)
    titles = [
        f">{_SPLIT_TITLES[split]}{' (held out)' if split in held_out else ''}" for split in splits
    ]
    table = plain_table("class", *titles)
    for number, name in enumerate(classes[:MAX_SHOWN_CLASSES]):
        counts = [formatting.integer(counts_by_split[split][number]) for split in splits]
        table.add_row(Text(name), *counts)
    if (rest := len(classes) - MAX_SHOWN_CLASSES) > 0:
        table.add_row(
            f"{rest} more",
            *(
                formatting.integer(sum(counts_by_split[split][MAX_SHOWN_CLASSES:]))
                for split in splits
            ),
        )
    totals = [formatting.integer(sum(counts_by_split[split])) for split in splits]
    table.add_row(Text(f"{len(classes)} classes", style="bold"), *totals)
    out.print(table)


def _print_broken(report: DataReport) -> None:
    if report.broken:
        print_line(
            f"{len(report.broken):,} images cannot be decoded; --skip-broken leaves them out:"
        )
    for image in report.broken:
        print_line(f"  {image.label}: {image.reason}")


def _print_repeated(report: DataReport) -> None:
    for split, count in report.repeated_counts.items():
        total = sum(report.counts[split])
        print_line(
            f"{count:,} of {total:,} {_SPLIT_TITLES[split]} images are identical to images of an "
            "earlier split: results on them say nothing about new images"
        )
    for equal, words in ((True, "identical"), (False, "nearly identical")):
        pairs = [pair for pair in report.repeated if pair.equal == equal]
        if pairs:
            print_line(f"{len(pairs):,} pairs of {words} images in two splits or two classes:")
        for pair in pairs[:MAX_SHOWN_IMAGES]:
            sides = zip((pair.first, pair.second), pair.splits, pair.classes, strict=True)
            print_line("  " + "  =  ".join(f"{name} ({split}, {c})" for name, split, c in sides))
        if len(pairs) > MAX_SHOWN_IMAGES:
            print_line(f"  and {len(pairs) - MAX_SHOWN_IMAGES:,} more; --json lists all")
    if not report.is_compared:
        print_line("nearly identical images were not searched for: there are too many images")


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
