"""`mmgen train`: resumable training runs from the recipes in configs/train."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from mmgen.cli.training import federated
from mmgen.cli.training.recipe_options import Config, Data, Minutes, Out, Values, read, report

app = typer.Typer(help="Train the models that mmgen ships, or your own.", no_args_is_help=True)

RECIPES = {
    "upscaler": (
        "upscaler",
        "UpscalerRecipe",
        "The x2 upscaler that follows the denoiser of small images. DATA: the folder that `mmgen data emoji` built.",
    ),
    "super-resolution": (
        "super_resolution",
        "SuperResolutionRecipe",
        "The network that makes a denoiser's images four times as large. DATA: the folder that `mmgen data emoji` built.",
    ),
    "denoiser": (
        "denoiser",
        "DenoiserRecipe",
        "A text-to-image UNet; OUT/model is in diffusers' format. DATA: the folder that `mmgen data emoji` built.",
    ),
    "clip": (
        "clip",
        "ClipRecipe",
        "A CLIP model of images and captions. DATA: the folder that `mmgen data emoji` built, or images with captions: a "
        "folder or .zip with a .txt beside each image, or a .jsonl of file and caption.",
    ),
    "rerank": (
        "rerank",
        "RerankRecipe",
        "A cross-encoder that orders passages; OUT/model is what --rerank takes. DATA: a folder with squadshifts/, qamr/ ...",
    ),
    "verifier": (
        "verifier",
        "VerifierRecipe",
        "A cross-encoder that judges a reader's answers; OUT/model is what the reader's recipe takes as verifier. DATA: a "
        "folder with squadshifts/, qamr/ ...",
    ),
    "lm": (
        "language_model",
        "LanguageModelRecipe",
        "A causal language model; OUT/model also loads in transformers. DATA: a file or folder of *.jsonl or *.txt.",
    ),
    "sft": (
        "sft",
        "SFTRecipe",
        "Supervised fine-tuning of a causal language model, full, LoRA or prefix. DATA: JSON lines of messages.",
    ),
    "reward": (
        "reward",
        "RewardRecipe",
        "A reward model; OUT/model is what `mmgen reward score` takes. DATA: JSON lines of prompt, chosen and rejected.",
    ),
    "rl": (
        "rl",
        "RLRecipe",
        "Reinforcement learning from rewards (GRPO, RLOO, PPO) of a causal language model. DATA: JSON lines of prompts.",
    ),
    "constitution": (
        "constitution",
        "ConstitutionRecipe",
        "Constitutional AI: a model revises its answers by principles, learns these, then what a judge prefers. DATA: prompts.",
    ),
    "continual": (
        "continual",
        "ContinualRecipe",
        "A causal language model learns texts one after another and forgets little (replay, EWC, LwF, an adapter a task). "
        "DATA: a folder with a file or folder for each task.",
    ),
    "federated": (
        "federated",
        "FederatedRecipe",
        "Federated learning: clients train on data of their own, a server averages what they learned. DATA: a folder with "
        "a file or folder for each client.",
    ),
    "dpo": (
        "dpo",
        "DPORecipe",
        "Direct preference optimization of a causal language model. DATA: JSON lines of prompt, chosen and rejected.",
    ),
}
"""Command -> the module in mmgen.training.recipes, its recipe class, and the command's help."""


@app.command()
def reader(config: Config, data: Data = None, out: Out = None, minutes: Minutes = None, set_: Values = None) -> None:
    """The extractive reader; writes a calibrated OUT/model. DATA: a folder with squadshifts/, qamr/ and the others."""
    from mmgen.training.recipes import reader as recipe_module

    recipe = read(config, recipe_module.ReaderRecipe, data, out, set_)
    done = report(recipe_module.train(recipe, stop_after_minutes=minutes), recipe.out)
    if done and os.environ.get("RANK", "0") == "0":  # of several processes the first exports
        typer.echo(f"model: {recipe_module.export(recipe)}")


def recipe_command(module: str, recipe_class: str) -> Callable[..., None]:
    """The command of a recipe module of mmgen.training.recipes, imported on use; its `train` also exports OUT/model."""

    def run(config: Config, data: Data = None, out: Out = None, minutes: Minutes = None, set_: Values = None) -> None:
        recipe_module = import_module(f"mmgen.training.recipes.{module}")
        recipe = read(config, getattr(recipe_module, recipe_class), data, out, set_)
        if report(recipe_module.train(recipe, stop_after_minutes=minutes), recipe.out):
            typer.echo(f"model: {recipe.out / 'model'}")

    return run


for name, (module, recipe_class, summary) in RECIPES.items():
    app.command(name, help=summary)(recipe_command(module, recipe_class))

app.command("federated-server")(federated.server)
app.command("federated-client")(federated.client)


@app.command()
def tokenizer(
    data: Annotated[Path, typer.Argument(help="A file or folder of *.jsonl or *.txt.")],
    out: Annotated[Path, typer.Argument(help="The folder to write tokenizer.json into.")],
    vocabulary: Annotated[int, typer.Option(min=257, help="Tokens: 256 bytes, <|endoftext|> and merges.")] = 8192,
    characters: Annotated[bool, typer.Option(help="Train a character-level tokenizer instead.")] = False,
) -> None:
    """A byte-level BPE or character-level tokenizer. Deterministic."""
    from mmgen.training.data import text_files
    from mmgen.training.recipes import tokenizer as recipe_module

    kind: recipe_module.Kind = "characters" if characters else "bpe"
    fast = recipe_module.train(text_files.read(text_files.files(data)), kind, vocabulary)
    typer.echo(f"{fast.get_vocab_size()} tokens: {recipe_module.save(fast, out)}")


@app.command()
def router(
    data: Annotated[
        Path | None, typer.Option(help="Lines of a tool, a tab and a request; default: the shipped examples.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The safetensors file to write; default: the shipped one.")] = None,
) -> None:
    """What decides which tool a request to the assistant needs: logistic regression on embedded:minilm. Seconds."""
    from mmgen.runtime import Runtime
    from mmgen.training.recipes import router as recipe_module

    with Runtime() as rt:
        fitted = recipe_module.train(rt, data, out)
    typer.echo(f"{len(fitted.classes)} classes: {', '.join(fitted.classes)}")
