"""sites, attentions, measure, doctor: inspect a backbone, the catalogue, costs, this machine."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.padding import Padding
from rich.text import Text

from ...errors import UsageError
from ...interrupts import defer_interrupts
from ...runners.recipe import MAX_CHANNELS, RGB_CHANNELS
from ...runners.results import Measurement
from ...spaces.attentions.catalogue import ATTENTIONS
from ...spaces.attentions.entry import Attention
from ...spaces.attentions.plugins.register import list_registered
from ...spaces.attentions.registry import describe_attentions, get_attention
from ...spaces.backbones.own_backbone import is_own_backbone
from ...spaces.backbones.sites import ImageSize as ImageSizeInPixels
from ...spaces.backbones.sites import SiteMap
from ...spaces.backbones.stem import Stem
from ...studies.objectives import OBJECTIVES
from ...studies.text import formatting
from .own_networks import example_images, read_shape
from .shared import Db, Json, out, plain_table, print_json

if TYPE_CHECKING:
    from ...runners.inspection.doctor import Check

ADVICE_INDENT, ARROW = 3, 2
"""Characters around the name of a check, and those of the arrow before advice."""
MIN_NAME_WIDTH = 12
"""Of the names of checks."""
ImageSize = Annotated[
    int | None, typer.Option(min=1, help="Side of the images, in pixels. Default: the backbone's.")
]
InputShape = Annotated[
    str | None,
    typer.Option(
        "--input",
        help="Channels, height and width of an image for a network of your own, e.g. 3x640x640.",
    ),
]
StemOption = Annotated[Stem, typer.Option(help="Stem of the backbone; small is for tiny images.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(sites)
    app.command()(attentions)
    app.command()(measure)
    app.command()(doctor)


def sites(
    backbone: Annotated[
        str,
        typer.Argument(
            help="timm model, e.g. resnet18; or a function that makes a network, e.g. "
            "my_module:make_model."
        ),
    ],
    image_size: ImageSize = None,
    stem: StemOption = "native",
    input_shape: InputShape = None,
    as_json: Json = False,
) -> None:
    """Show where attention can be inserted into a backbone, or into a network of your own."""
    with defer_interrupts():
        from ...spaces.backbones.discover import find_sites
        from ...spaces.backbones.site_diagram import draw_sites

    if is_own_backbone(backbone):
        site_map = _sites_of_own_network(backbone, input_shape, image_size, stem)
    elif input_shape is not None:
        raise UsageError(
            "--input is for a function that makes a network, such as my_module:make_model; for "
            "timm's models use --image-size"
        )
    else:
        site_map = find_sites(backbone, image_size=image_size, stem=stem)
    if as_json:
        print_json([site.to_json() for site in (*site_map.sites, *site_map.module_sites)])
    else:
        out.print(Text(draw_sites(site_map)), soft_wrap=True)


def _sites_of_own_network(
    reference: str, input_shape: str | None, image_size: int | None, stem: Stem
) -> SiteMap:
    """The sites of the network that a function makes; see `sites`."""
    from ...spaces.backbones.network_sites import find_network_sites
    from ...spaces.backbones.own_backbone import make_own_network

    example = example_images(input_shape)
    if image_size is not None or stem != "native":
        raise UsageError("--image-size and --stem are for timm's models; use --input")
    return find_network_sites(make_own_network(reference), example)


def attentions(
    name: Annotated[str | None, typer.Argument(help="Attention to show in detail.")] = None,
    as_json: Json = False,
) -> None:
    """List the attentions of the catalogue, or show one."""
    if name is not None:
        entry = get_attention(name)
        if as_json:
            print_json(entry.to_json())
        else:
            _print_attention(entry)
        return
    if as_json:
        print_json(describe_attentions())
    else:
        _print_catalogue(list_registered())


_KINDS = {
    "channel": "channel: what to attend to",
    "spatial": "spatial: where to attend",
    "mixed": "mixed: what to attend to, and where",
    "global": "global: all locations attend to all",
}


def _print_catalogue(registered: dict[str, str]) -> None:
    table = plain_table("name", "attention", "settings", "arXiv")
    for kind, heading in _KINDS.items():
        table.add_row("", Text(heading, style="italic"))
        for entry in (entry for entry in ATTENTIONS.values() if entry.kind == kind):
            settings = ", ".join(o.name for o in entry.options if o.name != "start")
            number = entry.paper.rpartition(", ")[2].removeprefix("arXiv ")
            table.add_row(entry.name, entry.title, settings, number)
        table.add_row()
    out.print(table)
    for name, origin in registered.items():
        out.print(Text(f"{name}, from {origin}"))
    out.print("Each takes start=paper or start=identity.")
    out.print("`attentune attentions NAME` shows one in detail.")


def _print_attention(entry: Attention) -> None:
    out.print(Text(f"{entry.name}: {entry.title}", style="bold"))
    out.print(Text("; ".join(filter(None, (entry.paper, f"kind: {entry.kind}", entry.origin)))))
    out.print(Padding(Text(entry.formula), (1, 2)))
    table = plain_table("setting", "default", "legal", "meaning")
    for option in entry.options:
        default = str(option.default)
        default = default.lower() if isinstance(option.default, bool) else default
        table.add_row(option.name, default, Text(option.legal), Text(option.meaning))
    out.print(table)
    if entry.starts_as_identity:
        out.print("The published module begins as the identity, so both starts are the same.")
    sizes = {c: entry.parameters(c, entry.defaults, (14, 14)) for c in (64, 128, 256, 512)}
    counts = plain_table("\nparameters", *(f">\nC = {channels}" for channels in sizes))
    counts.add_row("with the defaults", *(f"{size:,}" for size in sizes.values()))
    identity = entry.parameters(64, {**entry.defaults, "start": "identity"}, (14, 14))
    if more := identity - sizes[64]:
        counts.add_row("start=identity adds", *(str(more) for _ in sizes))
    out.print(counts)
    place = entry.positions[0] if entry.positions else "residual"
    out.print(Text(f"\nFor example: resnet18+{entry.name}@all.{place}"))


def measure(
    text: Annotated[str, typer.Argument(help="Architecture, e.g. resnet18+se@all.residual.")],
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Side of the images, in pixels. Default: 224.")
    ] = None,
    num_classes: Annotated[int, typer.Option(min=1, help="Number of classes.")] = 1000,
    stem: StemOption = "native",
    in_chans: Annotated[
        int, typer.Option(min=1, max=MAX_CHANNELS, help="Channels of the images.")
    ] = RGB_CHANNELS,
    batch_size: Annotated[
        int, typer.Option(min=2, help="Images in the training step whose memory is measured.")
    ] = 32,
    input_shape: InputShape = None,
    device: Annotated[str, typer.Option(help="Device to measure latency on.")] = "cpu",
    no_latency: Annotated[
        bool, typer.Option("--no-latency", help="Do not measure latency.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure what an architecture costs, without training it."""
    with defer_interrupts():
        from ...runners.costs import measure as measure_costs

    size: ImageSizeInPixels | None = image_size
    if input_shape is not None:
        in_chans, *sides = read_shape(input_shape)
        size = (sides[0], sides[1])
    measurement = measure_costs(
        text,
        image_size=size,
        num_classes=num_classes,
        stem=stem,
        in_chans=in_chans,
        batch_size=batch_size,
        device=device,
        latency=not no_latency,
    )
    if as_json:
        print_json(measurement.to_json())
    else:
        _print_measurement(measurement, device, batch_size)


def _print_measurement(measurement: Measurement, device: str, batch_size: int) -> None:
    costs = measurement.costs
    table = plain_table("", "")
    table.show_header = False
    table.add_row("architecture", Text(str(measurement.architecture)))
    table.add_row("key", measurement.key)
    for name, value in (("parameters", costs.params), ("MACs", costs.macs)):
        table.add_row(name, f"{formatting.integer(value)} ({formatting.count(value)})")
    if costs.latency_ms is not None and costs.latency_ratio is not None:
        values = {key: value for key, value in asdict(costs).items() if value is not None}
        latency = formatting.cost_of(values, OBJECTIVES["latency"])
        table.add_row("latency", f"{latency} per image on {device}")
        table.add_row("", f"{formatting.latency_ratio(values)} × the bare backbone")
        if measurement.busy is not None:
            table.add_row("", f"measured on a busy machine: {measurement.busy}")
    memory = formatting.cost(costs.memory_mib, OBJECTIVES["memory"])
    table.add_row("training memory", f"{memory} at batch {batch_size}")
    out.print(table)


def doctor(
    pool: Annotated[
        Literal["local", "ray"], typer.Option(help="Also check the nodes of a Ray cluster: ray.")
    ] = "local",
    ray_address: Annotated[
        str, typer.Option(help="Ray cluster: auto, HOST:PORT or local; as in search.")
    ] = "auto",
    artifacts: Annotated[
        str | None,
        typer.Option(
            help="Folder or URL that all nodes of a cluster should share, or that a search would "
            "use. Default: the folder of the database."
        ),
    ] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Check the installation and the machine, with advice; and the nodes of a cluster."""
    with defer_interrupts():
        from ...runners.inspection.doctor import check_artifacts, check_installation

    checks = check_installation()
    if artifacts is not None and pool == "local":
        checks.append(check_artifacts(_parse_artifacts(artifacts)))
    if pool == "ray":
        checks += _check_ray(ray_address, artifacts, db)
    if as_json:
        print_json([check.to_json() for check in checks])
    else:
        width = max(MIN_NAME_WIDTH, *(len(check.name) for check in checks))
        for check in checks:
            _print_check(check, width)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _print_check(check: Check, width: int) -> None:
    """Print the outcome of a check, and below it what to do about it."""
    mark = Text("✓", "green") if check.ok else Text("✗", "red")
    if check.ok and check.advice is not None:
        mark = Text("!", "yellow")
    out.print(mark, f"{check.name:<{width}}", check.detail, highlight=False)
    if check.advice is not None:
        indent = " " * (width + ADVICE_INDENT)
        lines = textwrap.wrap(
            f"→ {check.advice}.",
            out.width,
            initial_indent=indent,
            subsequent_indent=indent + " " * ARROW,
        )
        out.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _check_ray(address: str, artifacts: str | None, db: str | None) -> list[Check]:
    """The checks of a Ray cluster; see `doctor`."""
    from ...runners.inspection.cluster_doctor import check_cluster
    from ...studies.config import check_ray_address
    from ...studies.database.artifacts import artifacts_beside, location_in
    from ...studies.database.connection import locate

    try:
        check_ray_address(address)
    except ValueError as error:
        raise UsageError(f"doctor: ray_address: {error}") from None
    parent = None if artifacts is None else _parse_artifacts(artifacts)
    shared = str(artifacts_beside(locate(db))) if parent is None else location_in(parent)
    return check_cluster(address, shared)


def _parse_artifacts(artifacts: str) -> str:
    from ...runners.artifacts.location import parse_location

    try:
        return parse_location(artifacts)
    except ValueError as error:
        raise UsageError(f"doctor: --artifacts {error}") from None
