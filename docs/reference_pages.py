"""A hook of mkdocs that writes the reference from the code: Python, commands, configuration, HTTP and metrics."""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.cli import commands
from mmgen.config import Config, RuntimeConfig
from mmgen.engine.telemetry.metrics import Metrics
from mmgen.engine.telemetry.prometheus import registry as metrics_registry
from mmgen.plugins import registry
from mmgen.runtime import Runtime
from mmgen.serve.app import create_app
from mmgen.serve.settings import ServeConfig

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[1]
CARDS = ROOT / "assets" / "models"
RECIPES = ("reader", "denoiser", "upscaler", "super_resolution", "clip", "language_model", "sft", "dpo", "scaling_law")
METHODS = ("get", "post", "put", "patch", "delete")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds them to the pages that lie in docs/, with the model cards, CONTRIBUTING and CHANGELOG."""
    from mkdocs.structure.files import File

    for path, content in pages().items():
        files.append(File.generated(config, path, content=content))
    for image in CARDS.glob("*/*.png"):
        files.append(File.generated(config, f"models/{image.parent.name}/{image.name}", abs_src_path=str(image)))
    return files


def pages() -> dict[str, str]:
    """Path to Markdown."""
    made = {
        "reference/commands.md": command_page(),
        "reference/configuration.md": configuration_page(),
        "reference/python.md": python_page(),
        "reference/http.md": http_page(),
        "reference/metrics.md": metrics_page(),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").replace("](docs/", "]("),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    }
    for card in CARDS.glob("*/README.md"):
        name = card.parent.name
        made[f"models/{name}.md"] = re.sub(r"\]\((\w+\.png)\)", rf"]({name}/\1)", card.read_text(encoding="utf-8"))
    return made


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; empty where there are no rows."""
    lines = ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *lines]) if lines else ""


def cell(value: str) -> str:
    return " ".join(value.split()).replace("|", "\\|")


def code(value: object) -> str:
    return f"`{value}`" if str(value) else ""


def prose(text: str) -> str:
    """Text as it is: nothing in it is HTML."""
    return text.replace("<", "&lt;")


def sentence(text: str) -> str:
    text = prose(text.strip())
    return text[:1].upper() + text[1:]


# commands


def command_page() -> str:
    own = [section(["mmgen", name], commands.load(name), 3) for name in commands.OWN]
    pipelines = [section(["mmgen", entry.name], commands.load(entry.name), 3) for entry in registry().pipelines]
    return "\n\n".join(
        [
            "# Commands",
            "Exit codes: 0 when all is done, 1 when a part of it failed, 2 for an error that the caller can correct (reported "
            "in one line), 130 when interrupted.",
            "## Commands of mmgen",
            *own,
            "## Pipelines",
            "Every registered pipeline is a command: its signature and docstring make the options.",
            *pipelines,
        ]
    )


def section(words: list[str], command: Any, level: int) -> str:
    """A command with its options, and those below it."""
    name = " ".join(words)
    parts = [f"{'#' * level} {name}", sentence(inspect.cleandoc(command.help or ""))]
    below: dict[str, Any] = getattr(command, "commands", {})
    if not below:
        arguments = [argument.name.upper() for argument in command.params if argument.param_type_name == "argument"]
        parts.append(f"```text\n{' '.join([name, *arguments])} [OPTIONS]\n```")
    parts.append(table(("Option", "Default", "Description"), [option(one) for one in command.params if not one.hidden]))
    parts += [section([*words, word], one, level + 1) for word, one in below.items() if not one.hidden]
    return "\n\n".join(filter(None, parts))


def option(one: Any) -> Sequence[str]:
    names = ", ".join([*one.opts, *one.secondary_opts]) if one.param_type_name == "option" else one.name.upper()
    default = "" if one.default in (None, False, (), []) or callable(one.default) else code(one.default)
    return code(names), "required" if one.required and one.param_type_name == "option" else default, sentence(one.help or "")


# Python

PACKAGE = """\
# Python

`import mmgen` is light; models load on first use.

::: mmgen.pipeline

::: mmgen.Runtime

## Pipelines

What `mmgen.pipeline(name)` gives, and what it returns.

"""
REST = """\
## Requests and jobs

::: mmgen.engine.job

## Interfaces

::: mmgen.interfaces

## Registry

::: mmgen.registry

## Errors

::: mmgen.errors
"""
MEMBERS = "    options: {heading_level: 3, show_root_heading: false, show_root_toc_entry: false}"


def python_page() -> str:
    """For mkdocstrings: the package, each built-in pipeline with its result, and what plugins need."""
    targets: dict[str, None] = {}
    for entry in registry().pipelines:
        if entry.owner == "builtin":
            made = registry().pipelines.get(entry.name)
            targets[entry.target.replace(":", ".")] = None
            targets.update(dict.fromkeys(result(made)))
    parts = [f"::: {target}\n    options: {{heading_level: 3}}\n" for target in targets]
    return PACKAGE + "\n".join(parts) + re.sub(r"^(::: .*)$", rf"\1\n{MEMBERS}", REST, flags=re.MULTILINE)


def result(pipeline: Any) -> Iterator[str]:
    """The class that a call returns, where it is one of ours."""
    called = pipeline.__call__ if inspect.isclass(pipeline) else pipeline
    named = str(inspect.signature(called).return_annotation)
    found = getattr(inspect.getmodule(called), named, None)
    if inspect.isclass(found) and found.__module__.startswith("mmgen."):
        yield f"{found.__module__}.{found.__qualname__}"


# configuration


def configuration_page() -> str:
    recipes = []
    for name in RECIPES:
        module = import_module(f"mmgen.training.recipes.{name}")
        recipes += [value for value in vars(module).values() if is_recipe(value) and value.__module__ == module.__name__]
    return "\n\n".join([
        "# Configuration",
        "YAML files. An unknown key is an error that names the nearest known one; sizes may be written as `8 GiB`, "
        "and `~` is the home directory.",
        "## Runtime",
        "`config.yaml` of the home directory (`mmgen doctor` says where it is), or `RuntimeConfig(...)` in Python.",
        fields(RuntimeConfig),
        "## Server",
        "`mmgen serve --config FILE`.",
        fields(ServeConfig),
        "## Training recipes",
        "`mmgen train MODEL --config FILE`; `--set key=value` replaces a value. The files of configs/train are examples.",
        *(f"### {recipe.__name__}\n\n{recipe_help(recipe)}\n\n{fields(recipe)}" for recipe in recipes),
    ])  # fmt: skip


def recipe_help(recipe: type[Config]) -> str:
    text = inspect.cleandoc(recipe.__doc__ or "")
    return code(text.rstrip(".")) if text.startswith("configs/") else sentence(text)


def is_recipe(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Config) and value.__name__.endswith("Recipe")


def fields(model: type[Config]) -> str:
    """Of a pydantic model, with the sections in it: key, type, default, and what the comment behind the field says."""
    return table(("Key", "Type", "Default", "Description"), rows_of(model))


def rows_of(model: type[Config], prefix: str = "") -> Iterator[Sequence[str]]:
    told = comments(model)
    for name, field in model.model_fields.items():
        annotation, comment = told.get(name, ("", ""))
        if inspect.isclass(field.annotation) and issubclass(field.annotation, Config):
            yield from rows_of(field.annotation, f"{prefix}{name}.")
        else:
            yield code(prefix + name), code(kind(annotation)), default(field), sentence(comment)


def comments(model: type) -> dict[str, tuple[str, str]]:
    """Field to annotation and comment, as the classes' sources say; a subclass's word is the last."""
    found: dict[str, tuple[str, str]] = {}
    for parent in reversed(model.__mro__):
        if parent in (Config, *Config.__mro__):
            continue
        for line in inspect.getsource(parent).splitlines():
            if match := re.match(r"    (\w+): ([^=#]+?)(?: = [^#]*?| = .*?)?(?:  # (.*))?$", line):
                name, annotation, comment = match.groups()
                found[name] = annotation, comment or found.get(name, ("", ""))[1]
    return found


def kind(annotation: str) -> str:
    """An annotation without what only the reader of files needs: `Annotated[str, ...]` is `str`."""
    plain = re.sub(r"Annotated\[([^,]+),.*\]", r"\1", annotation).replace("UserPath", "Path").replace("ByteSize", "size")
    return plain.replace(" | ", " or ")


def default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value is None else code(int(value) if isinstance(value, int) and not isinstance(value, bool) else value)


# HTTP


def http_page() -> str:
    with tempfile.TemporaryDirectory() as home, Runtime(RuntimeConfig(home=Path(home))) as rt:
        api = create_app(rt).openapi()
    groups: dict[str, list[str]] = {}
    for path, operations in api["paths"].items():
        for method, operation in operations.items():
            if method in METHODS:
                groups.setdefault(operation["tags"][0], []).append(route(method, path, operation, api))
    return "\n\n".join([
        "# HTTP",
        "What `mmgen serve` answers; [The server](../server.md) tells of keys, streams and history. A running server gives the "
        "same as OpenAPI at `/openapi.json`. Besides, `/mcp` offers the pipelines as tools of the Model Context Protocol.",
        *(part for name, routes in groups.items() for part in (f"## {name}", *routes)),
    ])  # fmt: skip


def route(method: str, path: str, operation: dict[str, Any], api: dict[str, Any]) -> str:
    rows = [
        (code(one["name"]), one["in"], schema_type(one["schema"], api), sentence(one.get("description", "")))
        for one in operation.get("parameters", ())
    ]
    for media in operation.get("requestBody", {}).get("content", {}).values():
        schema = resolve(media["schema"], api)
        needed = schema.get("required", ())
        rows += [
            (
                code(name),
                "body" + (", required" if name in needed else ""),
                schema_type(one, api),
                sentence(one.get("description", "")),
            )
            for name, one in schema.get("properties", {}).items()
        ]
    rows = list(dict.fromkeys(rows))  # one body as JSON and as a form
    head = f"### {method.upper()} {path}"
    return "\n\n".join(
        filter(None, [head, prose(operation.get("description", "")), table(("Name", "In", "Type", "Description"), rows)])
    )


def resolve(schema: dict[str, Any], api: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = api["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def schema_type(schema: dict[str, Any], api: dict[str, Any]) -> str:
    """`integer, 1 to 100`"""
    if "anyOf" in schema:
        kinds = [schema_type(one, api) for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return ", ".join(code(value) for value in schema["enum"])
    if "const" in schema:
        return code(schema["const"])
    name = str(schema.get("type", "any"))
    if name == "array":
        return f"list of {schema_type(schema.get('items', {}), api)}"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        bounds = f", {number(low)} to {number(high)}"
    else:
        bounds = "" if low is None else f", from {number(low)}"
    return name + bounds


def number(value: float) -> str:
    """`0.5`, `1,000`, `2^63`"""
    if value != int(value):
        return f"{value:g}"
    whole = int(value)
    return f"2^{whole.bit_length() - 1}" if whole > 2**32 and whole.bit_count() == 1 else f"{whole:,}"


# metrics


def metrics_page() -> str:
    families = sorted(metrics_registry(Metrics()).collect(), key=lambda family: family.name)
    rows = [
        (code(family.name + ("_total" if family.type == "counter" else "")), family.type, labels(family), family.documentation)
        for family in families
    ]
    return "\n\n".join([
        "# Metrics",
        "In Prometheus' text format: `GET /metrics` of `mmgen serve`, or a port of their own (`metrics_port`, see "
        "[Configuration](configuration.md)). With `Accept: application/openmetrics-text` the histograms bring a request "
        "id as an exemplar of each bucket. `mmgen top URL` shows them live.",
        table(("Metric", "Kind", "Labels", "Description"), rows),
    ])  # fmt: skip


def labels(family: Any) -> str:
    names: dict[str, None] = dict.fromkeys(getattr(family, "_labelnames", ()))
    for sample in family.samples:
        names.update(dict.fromkeys(sample.labels))
    return ", ".join(code(name) for name in names if name != "le")
