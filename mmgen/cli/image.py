"""`mmgen image`: index images in a store and search them by text or image; and `mmgen zero-shot`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmgen.cli.adding import end, progress_bar, tell_left_out, tell_stages, values
from mmgen.cli.output import bar, print_columns, print_json
from mmgen.cli.rag import Exclude, Include, Json, Local, Meta, Ray, Store, Where
from mmgen.cli.stores.naming import one_of

if TYPE_CHECKING:
    from mmgen.interfaces import ImageHit
    from mmgen.library.document_indexing import AddedImages
    from mmgen.pipelines.image_search import ImageSearch

app = typer.Typer(help="Image search: add files, search by text or by image.", no_args_is_help=True)

Model = Annotated[str | None, typer.Option(help="Image encoder: embedded:NAME, a folder or a repo id; a store keeps its own.")]
MOST_TOLD = 5


@contextmanager
def opened(store: str | None, model: str | None = None) -> Iterator[ImageSearch]:
    """The image search pipeline over a store, closed after the command."""
    from mmgen.pipelines.image_search import ImageSearch
    from mmgen.runtime import Runtime

    with Runtime() as rt, closing(ImageSearch(rt, store=store, model=model)) as search:
        yield search


@app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(help="Images, folders, and pdf or html files that hold images.")],
    store: Store = None,
    include: Include = None,
    exclude: Exclude = None,
    sync: Annotated[bool, typer.Option("--sync", help="Also remove images whose files vanished.")] = False,
    meta: Meta = None,
    keep_duplicates: Annotated[bool, typer.Option("--keep-duplicates", help="Also add duplicates.")] = False,
    no_ignore: Annotated[bool, typer.Option("--no-ignore", help="Also what .gitignore and .mmgenignore name.")] = False,
    model: Model = None,
    ray: Ray = None,
    as_json: Json = False,
) -> None:
    """Index images in the store; unchanged files are skipped. Exit code 1 if a file could not be read."""
    with opened(store, model) as search, progress_bar(as_json, "images", "images") as advance:
        report = search.add(
            paths,
            include=include or (),
            exclude=exclude or (),
            metadata=values(meta),
            sync=sync,
            keep_duplicates=keep_duplicates,
            ignored=no_ignore,
            ray=ray,
            progress=advance,
        )
    if as_json:
        print_json(report)
    else:
        typer.echo(str(report))
    tell_duplicates(report)
    tell_stages(report.stages)
    tell_left_out(report.ignored)
    end(report.skipped)


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="Text query.")] = "",
    store: Store = None,
    image: Annotated[Path | None, typer.Option("--image", "-p", help="Image query.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="How many images to show.")] = 5,
    where: Where = None,
    weight: Annotated[float, typer.Option(help="Weight of the text query, 0 to 1, beside an image query.")] = 0.5,
    sheet: Annotated[Path | None, typer.Option("--sheet", help="Write a contact sheet of the results to this PNG.")] = None,
    model: Model = None,
    as_json: Json = False,
    local: Local = False,
) -> None:
    """Search images by text, by image, or by both."""
    from mmgen.interfaces import ImageHit
    from mmgen.pipelines.image import output_paths
    from mmgen.serve import command_client

    if sheet is not None:
        output_paths.check_png(sheet)  # fails before a model is loaded
    given = {"image": None if image is None else str(image), "k": k, "where": where, "weight": weight}
    hits = command_client.call("image-search", list[ImageHit], {"store": store, "model": model}, text, given, local)
    if sheet is not None:
        with opened(store, model) as images:
            draw(images, hits, text, image, sheet)
    if as_json:
        print_json(hits)
        return
    for number, hit in enumerate(hits, 1):
        typer.secho(f"{number}. {hit.score:.3f}  {hit.source}{inside(hit)}", bold=True)
        if hit.caption:
            typer.echo("   " + hit.caption[:300])
    if not hits:
        typer.echo("nothing found", err=True)
    elif sheet is not None:
        typer.echo(str(sheet))


@app.command(name="list")
def list_(store: Store = None, where: Where = None, as_json: Json = False) -> None:
    """The images in the store."""
    with opened(store) as images:
        found = images.gallery.filled().all(where or ())
    if as_json:
        print_json(found)
        return
    rows = [(f"{hit.width} x {hit.height}", str(hit.metadata.get("taken", "")), f"{hit.source}{inside(hit)}") for hit in found]
    print_columns(("size", "taken", "image"), rows)


@app.command()
def remove(images: Annotated[list[str], typer.Argument(help="File paths, or the ends of paths.")], store: Store = None) -> None:
    """Remove images from the store; their files stay."""
    with opened(store) as search:
        writable = search.gallery.writable(make=False)
        sources = writable.sources()
        for source in dict.fromkeys([one_of(sources, name, "image", search.gallery.path, "image") for name in images]):
            count = writable.remove(source)
            typer.echo(f"removed {source}" + (f" ({count} images)" if count > 1 else ""))


@app.command()
def tags(
    image: Annotated[Path, typer.Argument(help="An image file.")],
    among: Annotated[Path | None, typer.Option(help="A file with a caption on every line.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="How many to show.")] = 10,
    model: Annotated[str | None, typer.Option(help="Image encoder: embedded:NAME, a folder or a repo id.")] = None,
    as_json: Json = False,
) -> None:
    """Tag an image with the nearest entries of a word list."""
    from mmgen.pipelines.tags import tags as pipeline
    from mmgen.runtime import Runtime

    with Runtime() as rt:
        found = pipeline(rt, image, model=model, among=among, k=k)
    if as_json:
        print_json(found)
    else:
        print_columns(("cosine", "words"), [(f"{tag.similarity:.3f}", tag.caption) for tag in found.tags])


def zero_shot(
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    labels: Annotated[
        list[str] | None, typer.Option("--labels", "-l", help="Labels such as cat,dog,car; a classifier has its own.")
    ] = None,
    template: Annotated[str, typer.Option(help='Prompt template around each label, such as "a photo of a {}".')] = "{}",
    k: Annotated[int, typer.Option("-k", "--k", help="How many labels to show; 0 for all.")] = 0,
    model: Annotated[str | None, typer.Option(help="Image encoder: embedded:NAME, a folder or a repo id.")] = None,
    as_json: Json = False,
) -> None:
    """Zero-shot classification: `mmgen zero-shot photo.png --labels cat,dog,car`."""
    from mmgen.pipelines.zero_shot import ZeroShotImage
    from mmgen.runtime import Runtime

    with Runtime() as rt:
        judged = ZeroShotImage(rt, model=model).judge(list(images), labels=labels or (), template=template, k=k)
    if as_json:
        print_json(judged if len(judged) > 1 else judged[0])
        return
    for number, one in enumerate(judged):
        if len(judged) > 1:
            typer.secho(("\n" if number else "") + one.image, bold=True)
        rows = [(label.label, f"{label.probability:6.1%}", bar(label.probability)) for label in one.labels]
        print_columns(("label", "probability", ""), rows)


def upscale_command(name: str, made: Any) -> Callable[..., None]:
    """`mmgen upscale`: the pipeline's arguments, and where the image goes."""

    def upscale(
        image: Annotated[Path, typer.Argument(help="An image file.")],
        model: Annotated[str, typer.Option(help="The upscaler, a safetensors file such as RealESRGAN_x4plus.safetensors.")],
        output: Annotated[Path | None, typer.Option("-o", "--output", help="The PNG to write; beside the image else.")] = None,
        scale: Annotated[float | None, typer.Option(help="Times as large a side; the network's own unless given.")] = None,
    ) -> None:
        """Make an image larger by a network such as Real-ESRGAN's, tile by tile."""
        from mmgen.pipelines.image import output_paths
        from mmgen.runtime import Runtime

        path = output or image.with_name(f"{image.stem}-upscaled.png")
        output_paths.check_png(path)  # fails before a model is loaded
        with Runtime() as rt:
            found = made(rt, image, model=model, scale=scale)
        found.save(path)
        typer.echo(f"{path} ({found})")

    return upscale


def draw(images: ImageSearch, hits: Sequence[ImageHit], text: str, image: Path | None, path: Path) -> None:
    """The contact sheet of a search."""
    from mmgen.ingest import near_duplicates
    from mmgen.pipelines.image.contact_sheet import Tile, save, sheet

    store = images.gallery.filled()
    tiles = [
        Tile(near_duplicates.opened(store.look(hit.image_id)[2]), f"{number}  {hit.score:.3f}", str(hit))
        for number, hit in enumerate(hits, 1)
    ]
    asked = [f'"{text}"'] if text.strip() else []
    save(sheet(tiles, " and ".join([*asked, *([image.name] if image else [])])), path)


def tell_duplicates(report: AddedImages) -> None:
    """Prints the first duplicates, and how many more there are."""
    pairs = [*(("is", *pair) for pair in report.duplicates), *(("looks like", *pair) for pair in report.near)]
    for how, uri, there in pairs[:MOST_TOLD]:
        typer.echo(f"left out {uri}: it {how} {there}", err=True)
    if len(pairs) > MOST_TOLD:
        typer.echo(f"left out {len(pairs) - MOST_TOLD} more; --json names them, --keep-duplicates adds them", err=True)


def inside(hit: ImageHit) -> str:
    """`, page 3, image-2` of an image in a document."""
    return str(hit)[len(Path(hit.source).name) :]
