"""/v1/models: lists the served models."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from mmgen.serve.context import Here
from mmgen.serve.model_catalog import ModelCatalog, ServedModel

router = APIRouter(tags=["models"])


@router.get("/v1/models")
def list_models(context: Here) -> dict[str, Any]:
    """The models that a request may name."""
    catalog: ModelCatalog = context.http.app.state.catalog
    return {"object": "list", "data": [_told(one, catalog) for one in catalog.served()]}


@router.get("/v1/models/{name:path}")
def get_model(name: str, context: Here) -> dict[str, Any]:
    """One of them."""
    catalog: ModelCatalog = context.http.app.state.catalog
    return _told(catalog.get(name), catalog)


def _told(one: ServedModel, catalog: ModelCatalog) -> dict[str, Any]:
    owner = "mmgen" if one.reference.startswith("embedded:") else one.id.rpartition("/")[0] or "local"
    default = catalog.defaults.get(one.kind) == one.reference
    return {"id": one.id, "object": "model", "created": 0, "owned_by": owner, "kind": one.kind, "default": default}
