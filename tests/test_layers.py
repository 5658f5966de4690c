"""The layout's rules: imports go downward, never in a circle; a name is given once, folders stay small, modules have tests."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TIERS = (
    ("cli",),
    ("apps", "serve"),
    ("evaluation",),
    ("pipelines", "training"),
    ("library",),
    ("runtime",),
    ("clients",),
    ("runners", "cluster"),
    ("engine", "models", "stores", "ingest"),
    ("base",),
)
ROOMS = {path.stem: "base" for path in ROOT.glob("mmgen/*.py")} | {"__main__": "cli", "runtime": "runtime"}
"""Files in no folder: at the bottom, but for these two."""
LEVEL = {room: level for level, tier in enumerate(TIERS) for room in tier}
MODELS = (
    "transformer_config", "cpu", "tuning", "quantization", "layers", "checkpoints", "lm", "transformers_backend",
    "encoders", "reader", "vision", "diffusion", "workloads",
)  # fmt: skip
"""The rooms within models/: each imports only those before it."""
MOST_MODULES = 25  # in a folder
MOST_STATEMENTS = 10  # of a function: a module with a longer one has a test of its own

DOOR = ROOT / "mmgen" / "__init__.py"  # names what it hands out, for type checkers alone
FILES = sorted({*ROOT.glob("mmgen/**/*.py"), *ROOT.glob("apps/**/*.py")} - {DOOR})
COVERED_ELSEWHERE = {
    "mmgen.clients.image_models": "clients/test_denoiser.py",
    "mmgen.clients.dit": "models/diffusion/dit/test_qwen_image_edit.py",
    "mmgen.models.diffusion.pipeline_files": "runners/test_diffusers_pipeline.py",
    "mmgen.ingest.formats.compound": "ingest/formats/word/test_document.py",
    "mmgen.ingest.formats.drawings": "ingest/formats/word/test_document.py",
    "mmgen.ingest.formats.mail.attachments": "ingest/formats/mail/test_eml.py",
    "mmgen.ingest.formats.mail.reader": "ingest/formats/mail/test_eml.py",
    "mmgen.ingest.formats.office": "ingest/test_loaders.py",
    "mmgen.ingest.formats.open_text": "ingest/formats/test_open_document.py",
    "mmgen.ingest.formats.package": "ingest/formats/word/test_document.py",
    "mmgen.ingest.formats.word.fields": "ingest/formats/word/test_document.py",
    "mmgen.ingest.formats.word.runs": "ingest/formats/word/test_document.py",
    "mmgen.ingest.formats.word.styles": "ingest/formats/word/test_document.py",
    "mmgen.ingest.formats.word.tables": "ingest/formats/word/test_document.py",
    "mmgen.ingest.formats.word.text": "ingest/formats/word/test_document.py",
    "mmgen.builtin": "test_plugins.py",
    "mmgen.cli.adding": "cli/test_rag.py",
    "mmgen.cli.recipe_commands": "cli/test_image_commands.py",
    "mmgen.clients.diffusers_pipeline": "runners/test_diffusers_pipeline.py",
    "mmgen.embedded": "test_hub.py",
    "mmgen.library.document_indexing": "library/test_document_library.py",
    "mmgen.library.file_choice": "library/test_document_library.py",
    "mmgen.library.image_indexing": "library/test_image_library.py",
    "mmgen.models.checkpoints.gguf_config": "models/checkpoints/test_gguf_checkpoint.py",
    "mmgen.models.checkpoints.gguf_writer": "cli/training/test_quantize.py",
    "mmgen.models.lm.gguf_export": "cli/training/test_quantize.py",
    "mmgen.models.lm.paged.pieces": "models/lm/paged/test_attention.py",
    "mmgen.models.checkpoints.gguf_tensor_names": "models/checkpoints/test_gguf_checkpoint.py",
    "mmgen.models.checkpoints.tensor_names": "models/lm/test_families.py",
    "mmgen.models.diffusion.conditioning": "models/diffusion/test_denoiser.py",
    "mmgen.models.diffusion.multistep_solvers": "models/diffusion/test_solvers.py",
    "mmgen.models.diffusion.noise_levels": "models/diffusion/test_solvers.py",
    "mmgen.models.diffusion.upscalers.esrgan": "models/diffusion/upscalers/test_image_upscaler.py",
    "mmgen.models.diffusion.single_file.tensors": "models/diffusion/single_file/test_model.py",
    "mmgen.models.diffusion.single_file.text": "models/diffusion/single_file/test_model.py",
    "mmgen.models.diffusion.single_file.transformers.flux2": "models/diffusion/single_file/transformers/test_model.py",
    "mmgen.models.diffusion.single_file.transformers.renamed": "models/diffusion/single_file/transformers/test_model.py",
    "mmgen.models.diffusion.single_file.transformers.sd3": "models/diffusion/single_file/transformers/test_model.py",
    "mmgen.models.diffusion.single_file.transformers.text_encoders": "models/diffusion/single_file/transformers/test_model.py",
    "mmgen.models.diffusion.single_file.unet": "models/diffusion/single_file/test_model.py",
    "mmgen.models.diffusion.single_file.vae": "models/diffusion/single_file/test_model.py",
    "mmgen.models.lm.architectures.tables": "models/lm/architectures/test_llama_kin.py",
    "mmgen.models.lm.lora_files": "models/lm/test_lora.py",
    "mmgen.cli.training.reward": "training/recipes/test_reward.py",
    "mmgen.models.lm.reward_model": "training/recipes/test_reward.py",
    "mmgen.training.data.constitution": "training/recipes/test_constitution.py",
    "mmgen.training.federated.connection": "training/federated/test_network_fleet.py",
    "mmgen.training.federated.fleets": "training/recipes/test_federated.py",
    "mmgen.training.federated.local_training": "training/recipes/test_federated.py",
    "mmgen.training.federated.rounds": "training/recipes/test_federated.py",
    "mmgen.training.federated.tasks": "training/recipes/test_federated.py",
    "mmgen.training.recipes.text_tuning": "training/recipes/test_federated.py",
    "mmgen.training.rl.rollouts": "training/recipes/test_rl.py",
    "mmgen.pipelines.language.architecture_diagram": "cli/training/test_explain.py",
    "mmgen.pipelines.language.explanation": "cli/training/test_explain.py",
    "mmgen.pipelines.language.token_grid": "cli/training/test_explain.py",
    "mmgen.models.lm.rope_config": "models/lm/test_families.py",
    "mmgen.models.quantization.formats.fp8": "models/checkpoints/test_dequantized.py",
    "mmgen.models.vision.vision_tensor_names": "models/vision/test_vision_families.py",
    "mmgen.evaluation.rag_report": "cli/training/test_rag_eval.py",
    "mmgen.pipelines.image.image_pipeline": "pipelines/test_txt2img.py",
    "mmgen.pipelines.image.label_scores": "pipelines/test_zero_shot.py",
    "mmgen.pipelines.image.word_list": "pipelines/test_tags.py",
    "mmgen.pipelines.language.text_pipeline": "pipelines/test_text.py",
    "mmgen.runners.draft_model": "runners/test_text.py",
    "mmgen.runners.sampled_sequences": "runners/test_kv_cache_manager.py",
    "mmgen.stores.postgres.driver": "stores/postgres/test_server_errors.py",
    "mmgen.stores.postgres.filters": "stores/test_metadata_filter.py",
    "mmgen.stores.postgres.pool": "stores/postgres/test_database.py",
    "mmgen.stores.relational.documents": "stores/test_documents.py",
    "mmgen.serve.batch.batch_calls": "serve/routes/test_batches.py",
    "mmgen.serve.cluster.fleet": "serve/cluster/test_ingress.py",
    "mmgen.serve.cluster.replica_app": "serve/cluster/test_ingress.py",
    "mmgen.serve.dialects.grounded": "serve/routes/test_responses.py",
    "mmgen.serve.dialects.ollama_models": "serve/routes/test_ollama.py",
    "mmgen.serve.image_calls": "serve/routes/test_images.py",
    "mmgen.serve.telemetry.tracing": "serve/telemetry/test_spans.py",
}
"""Modules that are parts of another, with the test of the whole."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def room_of(module: str) -> str:
    """`mmgen.engine.job` -> engine, `apps.web` -> apps, `mmgen` -> base"""
    first, *rest = module.split(".")
    name = "apps" if first == "apps" else (rest[0] if rest else "__init__")
    return ROOMS.get(name, name)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, package: str) -> Iterator[str]:
    """Every module that a file imports, wherever in it, absolute; `from mmgen import hub` counts as mmgen.hub."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{base}.{alias.name}" if base == "mmgen" or f"{base}.{alias.name}" in MODULES else base


def package_of(path: Path) -> str:
    return name_of(path) if path.stem == "__init__" else name_of(path).rpartition(".")[0]


def graph() -> dict[str, set[str]]:
    """Module to the modules of ours that it imports."""
    return {module: {name for name in imports(path, package_of(path)) if name in MODULES} for module, path in MODULES.items()}


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    """One, from a module back to itself; empty where there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as why:
        return list(why.args[1])
    return []


def forbidden(importer: str, imported: str) -> bool:
    return importer != imported and LEVEL[imported] <= LEVEL[importer]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_downward_only(path: Path) -> None:
    module = name_of(path)
    ours = [name for name in imports(path, package_of(path)) if name.split(".")[0] in ("mmgen", "apps")]
    known = {name for name in ours if room_of(name) in LEVEL}  # `from mmgen import __version__` is no module
    wrong = [name for name in sorted(known) if forbidden(room_of(module), room_of(name))]
    assert not wrong, f"{module} may not import {', '.join(wrong)}"


def test_every_room_has_a_tier() -> None:
    assert {room_of(name_of(path)) for path in FILES} <= set(LEVEL)


def test_nothing_imports_in_a_circle() -> None:
    """Not within a tier either, imports within functions and for type checkers counted."""
    assert not circle(graph())


def test_the_rooms_of_models_stand_in_order() -> None:
    room = {module: module.split(".")[2] for module in MODULES if module.startswith("mmgen.models.")}
    assert set(room.values()) == set(MODELS)
    wrong = [
        f"{module} imports {name}"
        for module, names in graph().items()
        if module in room
        for name in names
        if name in room and MODELS.index(room[name]) > MODELS.index(room[module])
    ]
    assert not wrong


def test_a_class_has_its_name_alone() -> None:
    homes = defaultdict(list)
    for module, path in MODULES.items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(module)
    assert not {name: modules for name, modules in homes.items() if len(modules) > 1}


def test_folders_stay_small() -> None:
    counts = Counter(path.parent.relative_to(ROOT).as_posix() for path in FILES if path.stem != "__init__")
    assert not {folder: count for folder, count in counts.items() if count > MOST_MODULES}


def longest(path: Path) -> int:
    """Statements of its longest function, those within it included."""
    functions = (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return max((sum(isinstance(inner, ast.stmt) for inner in ast.walk(node)) - 1 for node in functions), default=0)


def mirror(path: Path) -> Path:
    inside = path.relative_to(ROOT / "mmgen")
    return ROOT / "tests" / inside.parent / f"test_{inside.name}"


def test_modules_with_logic_have_a_mirror() -> None:
    with_logic = {
        module
        for module, path in MODULES.items()
        if module.startswith("mmgen.") and path.stem != "__init__" and longest(path) > MOST_STATEMENTS
    }
    without = {module for module in with_logic if not mirror(MODULES[module]).is_file()}
    assert without - set(COVERED_ELSEWHERE) == set(), "write a test, or say which one covers it"
    assert set(COVERED_ELSEWHERE) - without == set(), "these have a test of their own by now, or need none"


@pytest.mark.parametrize("module", COVERED_ELSEWHERE)
def test_what_is_covered_elsewhere_is_reached_from_there(module: str) -> None:
    """By what the test, its conftest.py and their helpers import; a name such as "mmgen.cli.rag:app" counts as an import."""
    test = ROOT / "tests" / COVERED_ELSEWHERE[module]
    todo: list[Path] = [test, *(folder / "conftest.py" for folder in test.parents if folder.is_relative_to(ROOT / "tests"))]
    seen: set[Path] = set()
    while todo:
        path = todo.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        names = reached(path)
        todo += [MODULES.get(name, ROOT / "tests" / f"{name}.py") for name in names]
    assert test in seen and MODULES[module] in seen


@cache
def reached(path: Path) -> set[str]:
    return {*imports(path, package_of(path)), *named(path)}


def named(path: Path) -> Iterator[str]:
    """The modules of "module:attribute" among its strings."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.partition(":")[0] in MODULES:
            yield node.value.partition(":")[0]


@pytest.mark.parametrize("path", sorted(ROOT.glob("mmgen/engine/**/*.py")), ids=name_of)
def test_the_engine_knows_no_torch(path: Path) -> None:
    assert "torch" not in {name.split(".")[0] for name in imports(path, "mmgen.engine")}


@pytest.mark.parametrize(
    ("code", "importer", "wrong"),
    [
        ("from mmgen.runtime import Runtime", "engine", True),
        ("from mmgen.runtime import Runtime", "clients", True),
        ("def f():\n    import mmgen.stores.documents", "engine", True),
        ("from mmgen.library.document_library import DocumentLibrary", "runtime", True),
        ("from mmgen import hub", "runtime", False),
        ("from ..cli import main", "pipelines", True),
        ("from mmgen.training.recipes import reader", "pipelines", True),
        ("from mmgen.pipelines.factory import pipeline", "cli", False),
        ("from mmgen.serve.app import create_app", "cli", False),
    ],
)
def test_the_rule_itself(code: str, importer: str, wrong: bool, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(code)
    (name,) = imports(tmp_path / "x.py", f"mmgen.{importer}")
    assert forbidden(importer, room_of(name)) is wrong


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) in (["a", "c", "b", "a"], ["b", "a", "c", "b"], ["c", "b", "a", "c"])
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})
