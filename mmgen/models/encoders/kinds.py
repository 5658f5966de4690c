"""Which checkpoints give one dense vector a text, and which do not: refused by name instead of being averaged in silence."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from mmgen import hub
from mmgen.errors import BadWeights
from mmgen.models.encoders.bert_config import optional
from mmgen.models.encoders.prompts import FILE

log = logging.getLogger(__name__)

OURS = "sentence_transformers."
SPARSE = frozenset({"SpladePooling", "SparseAutoEncoder", "SparseStaticEmbedding", "MLMTransformer", "CSR", "IDF"})
MULTI_VECTOR = frozenset({"MultiVectorMask", "TokenPooling"})
REMEDY = "take a model that gives one vector a text"


def check(folder: Path) -> None:
    """Raises BadWeights for a checkpoint that is no encoder of texts to one dense vector each, saying what it is."""
    if hub.kind_of(folder) == "cross-encoder":
        raise BadWeights(f"{folder} is a cross-encoder, which gives no vectors; use it to order passages, by --rerank")
    saved = optional(folder / FILE).get("model_type", "")
    architectures = " ".join(map(str, optional(folder / "config.json").get("architectures") or ()))
    steps = module_types(folder)
    names = {step.rpartition(".")[2] for step in steps}
    if saved == "SparseEncoder" or names & SPARSE or "splade" in architectures.lower():
        raise BadWeights(f"{folder} gives sparse vectors over a vocabulary (SPLADE), which a store cannot hold; {REMEDY}")
    colbert = "colbert" in architectures.lower() or (folder / "artifact.metadata").is_file()
    if saved in ("MultiVectorEncoder", "ColBERT") or names & MULTI_VECTOR or colbert or any("pylate." in s for s in steps):
        raise BadWeights(f"{folder} gives a vector for every token (ColBERT), which a store cannot hold; {REMEDY}")
    if unknown := [step for step in steps if not step.startswith(OURS)]:
        raise BadWeights(f"{folder} needs {', '.join(unknown)}, code that comes with it and is not run; {REMEDY} without it")
    if not steps and not (folder / "1_Pooling").is_dir():
        log.warning("%s does not say how its tokens become one vector (no modules.json); their mean is taken", folder)


def module_types(folder: Path) -> list[str]:
    """The classes of modules.json, with their packages."""
    return [step[0] for step in _steps(folder)]


def first_folder(folder: Path) -> str:
    """Where the files of the first module lie, in the folder."""
    return next((path for _, path in _steps(folder)), "")


def _steps(folder: Path) -> list[tuple[str, str]]:
    try:
        return [
            (str(step["type"]), str(step.get("path", "")))
            for step in json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        ]
    except OSError:
        return []
    except (ValueError, TypeError, KeyError, AttributeError) as why:
        raise BadWeights(f"{folder / 'modules.json'} cannot be read ({why}); fetch the model again") from None
