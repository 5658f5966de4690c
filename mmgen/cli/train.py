"""`mmgen train`: resumable training runs from the recipes in configs/train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel

app = typer.Typer(help="Train the models that mmgen ships, or your own.", no_args_is_help=True)

Config = Annotated[Path, typer.Option(help="A recipe of configs/train.")]
Data = Annotated[Path | None, typer.Option(help="Folder of the training data.")]
Out = Annotated[Path | None, typer.Option(help="Folder of the run; an unfinished run there is resumed.")]
Minutes = Annotated[float | None, typer.Option(help="Stop after so many minutes; the same command goes on.")]
Values = Annotated[list[str] | None, typer.Option("--set", help="Another value of the recipe: learning_rate=1e-4")]
R = TypeVar("R", bound=BaseModel)


@app.command()
def reader(config: Config, data: Data = None, out: Out = None, minutes: Minutes = None, set_: Values = None) -> None:
    """The grounded reader: trains, calibrates, and writes OUT/model. DATA holds squadshifts/, qamr/ and the others."""
    from mmgen.training.recipes import reader as recipe_module

    recipe = read(config, recipe_module.ReaderRecipe, data, out, set_)
    if report(recipe_module.train(recipe, stop_after_minutes=minutes), recipe.out):
        typer.echo(f"model: {recipe_module.export(recipe)}")


@app.command()
def upscaler(config: Config, data: Data = None, out: Out = None, minutes: Minutes = None, set_: Values = None) -> None:
    """The x2 upscaler that ends the denoiser of small images. DATA is what `mmgen data emoji` built."""
    from mmgen.training.recipes import upscaler as recipe_module

    recipe = read(config, recipe_module.UpscalerRecipe, data, out, set_)
    if report(recipe_module.train(recipe, stop_after_minutes=minutes), recipe.out):
        typer.echo(f"model: {recipe.out / 'model'}")


@app.command()
def denoiser(config: Config, data: Data = None, out: Out = None, minutes: Minutes = None, set_: Values = None) -> None:
    """The text-to-image denoiser; OUT/model is a folder in diffusers' format. DATA is what `mmgen data emoji` built."""
    from mmgen.training.recipes import denoiser as recipe_module

    recipe = read(config, recipe_module.DenoiserRecipe, data, out, set_)
    if report(recipe_module.train(recipe, stop_after_minutes=minutes), recipe.out):
        typer.echo(f"model: {recipe.out / 'model'}")


@app.command()
def clip(config: Config, data: Data = None, out: Out = None, minutes: Minutes = None, set_: Values = None) -> None:
    """Images and captions into one space: OUT/model finds the one by the other. DATA is what `mmgen data emoji` built, or
    images with captions: a folder or .zip with a .txt beside each, or a .jsonl of file and caption.
    """
    from mmgen.training.recipes import clip as recipe_module

    recipe = read(config, recipe_module.ClipRecipe, data, out, set_)
    if report(recipe_module.train(recipe, stop_after_minutes=minutes), recipe.out):
        typer.echo(f"model: {recipe.out / 'model'}")


@app.command()
def lm(config: Config, data: Data = None, out: Out = None, minutes: Minutes = None, set_: Values = None) -> None:
    """A causal language model; OUT/model loads in transformers too. DATA is a file or folder of *.jsonl or *.txt."""
    from mmgen.training.recipes import language_model as recipe_module

    recipe = read(config, recipe_module.LanguageModelRecipe, data, out, set_)
    if report(recipe_module.train(recipe, stop_after_minutes=minutes), recipe.out):
        typer.echo(f"model: {recipe.out / 'model'}")


@app.command()
def sft(config: Config, data: Data = None, out: Out = None, minutes: Minutes = None, set_: Values = None) -> None:
    """Tunes a causal language model on conversations: all of it, a LoRA adapter or a prefix. DATA is JSON lines of messages."""
    from mmgen.training.recipes import sft as recipe_module

    recipe = read(config, recipe_module.SFTRecipe, data, out, set_)
    if report(recipe_module.train(recipe, stop_after_minutes=minutes), recipe.out):
        typer.echo(f"model: {recipe.out / 'model'}")


@app.command()
def dpo(config: Config, data: Data = None, out: Out = None, minutes: Minutes = None, set_: Values = None) -> None:
    """Tunes a causal language model on pairs of answers. DATA is JSON lines of prompt, chosen and rejected."""
    from mmgen.training.recipes import dpo as recipe_module

    recipe = read(config, recipe_module.DPORecipe, data, out, set_)
    if report(recipe_module.train(recipe, stop_after_minutes=minutes), recipe.out):
        typer.echo(f"model: {recipe.out / 'model'}")


@app.command()
def tokenizer(
    data: Annotated[Path, typer.Argument(help="A file or folder of *.jsonl or *.txt.")],
    out: Annotated[Path, typer.Argument(help="The folder to write tokenizer.json into.")],
    vocabulary: Annotated[int, typer.Option(min=257, help="Tokens: 256 bytes, <|endoftext|> and merges.")] = 8192,
    characters: Annotated[bool, typer.Option(help="A token for each character of the texts instead.")] = False,
) -> None:
    """A byte-level BPE tokenizer, or one of characters. The same texts give the same file."""
    from mmgen.training.data import text_files
    from mmgen.training.recipes import tokenizer as recipe_module

    kind: recipe_module.Kind = "characters" if characters else "bpe"
    fast = recipe_module.train(text_files.read(text_files.files(data)), kind, vocabulary)
    typer.echo(f"{fast.get_vocab_size()} tokens: {recipe_module.save(fast, out)}")


def read(config: Path, recipe: type[R], data: Path | None, out: Path | None, values: list[str] | None) -> R:
    """The recipe with what the command line says in place of what it says itself."""
    from mmgen.config import load, with_overrides

    given = {name: value for name, value in (("data", data), ("out", out)) if value is not None}
    return with_overrides(load(config, recipe), values or []).model_copy(update=given)


def report(finished: bool, out: Path) -> bool:
    if not finished:
        typer.echo(f"stopped; the same command goes on from {out / 'checkpoint'}")
    return finished
