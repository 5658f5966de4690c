"""Models as Ollama's clients list and show them. Loads no weights."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmgen import hub, weight_files
from mmgen.errors import Forbidden, MmgenError
from mmgen.serve.context import Context
from mmgen.serve.dialects import model_facts
from mmgen.serve.dialects.model_facts import ModelFacts
from mmgen.serve.errors import UnknownModel
from mmgen.serve.model_catalog import ServedModel

CAPABILITIES = {"text": ["completion"], "encoder": ["embedding"]}
"""Kinds that Ollama's clients can use."""


def plain(name: str) -> str:
    """Without the tag that its clients add."""
    return name.removesuffix(":latest")


def served(context: Context) -> list[ServedModel]:
    return [one for one in context.http.app.state.catalog.served() if one.kind in CAPABILITIES]


def loaded(context: Context) -> list[ServedModel]:
    """Those whose runner has its weights in memory."""
    there = {one.name.partition(" ")[2] for one in context.rt.engine.models if one.state == "awake"}  # "text FOLDER"
    return [one for one in served(context) if one.reference in there]


def told(one: ServedModel) -> dict[str, Any]:
    """As /api/tags lists it."""
    size, modified = _file(one.reference)
    digest = hashlib.sha256(one.reference.encode()).hexdigest()  # of the name: files are hashed where they are verified
    return {
        "name": one.id, "model": one.id, "modified_at": modified, "size": size, "digest": digest, "details": _details(one)
    }  # fmt: skip


def shown(one: ServedModel) -> dict[str, Any]:
    """As /api/show tells it. Blocks: reads the model's configuration."""
    folder = _folder(one.reference)
    facts = _facts(one)
    family = facts.family or one.kind
    capabilities = [*CAPABILITIES.get(one.kind, [])]
    template = ""
    if one.kind == "text" and folder is not None:
        from mmgen.models.lm.chat_template import ChatTemplate
        from mmgen.models.transformers_backend.vision_language import sees

        read = ChatTemplate.of(folder)
        template = read.text
        capabilities += ["tools", *(["vision"] if folder.is_dir() and sees(folder) else [])]
    length = {f"{family}.context_length": facts.context} if facts.context else {}
    count = {"general.parameter_count": facts.parameters} if facts.parameters else {}
    return {
        "modelfile": f"FROM {one.id}", "parameters": "", "template": template, "details": _details(one),
        "model_info": {"general.architecture": family, **count, **length}, "capabilities": capabilities,
        "modified_at": _file(one.reference)[1],
    }  # fmt: skip


def check_pull(context: Context, name: str) -> None:
    """Raises Forbidden where a client may not have it downloaded."""
    context.caller.check("chat")
    if _is_here(context, name):
        return
    if not context.http.app.state.settings.pull:
        raise Forbidden(
            f'"{name[:100]}" is not here, and this server downloads nothing for clients; set pull: true in --config'
        )
    context.caller.check("engine")


def fetch(context: Context, name: str) -> None:
    """Blocks while it is downloaded. Raises NotFound, BadRequest, and what the hub says."""
    if not _is_here(context, name):
        if not hub.REPOSITORY.fullmatch(name):
            raise UnknownModel(f'"{name[:100]}" is no repo id; give one such as org/name')
        hub.resolve(name)


def _is_here(context: Context, name: str) -> bool:
    try:
        context.http.app.state.catalog.get(name)
    except UnknownModel:
        return False
    return True


def _details(one: ServedModel) -> dict[str, Any]:
    folder, facts = _folder(one.reference), _facts(one)
    family = facts.family or one.kind
    form = "gguf" if folder is not None and (folder.suffix == ".gguf" or list(folder.glob("*.gguf"))) else "safetensors"
    return {
        "parent_model": "", "format": form, "family": family, "families": [family], "parameter_size": facts.size,
        "quantization_level": one.reference.partition("#")[2] or facts.precision,
    }  # fmt: skip


def _facts(one: ServedModel) -> ModelFacts:
    folder = _folder(one.reference)
    return ModelFacts() if folder is None else model_facts.of(folder)


@lru_cache(256)
def _file(reference: str) -> tuple[int, str]:
    """Bytes, and when they were written."""
    folder = _folder(reference)
    if folder is None:
        return 0, datetime.fromtimestamp(0, UTC).isoformat()
    files = list(weight_files.used(folder))
    return sum(file.stat().st_size for file in files), datetime.fromtimestamp(folder.stat().st_mtime, UTC).isoformat()


def _folder(reference: str) -> Path | None:
    try:
        return hub.resolve(reference.partition("#")[0])
    except MmgenError:
        return None
