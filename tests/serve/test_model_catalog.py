"""Models by the names that clients use: never a path, with a precision behind them, and of the right kind."""

from pathlib import Path

import pytest

from mmgen.errors import BadRequest
from mmgen.runtime import Runtime
from mmgen.serve import model_catalog
from mmgen.serve.errors import UnknownModel
from mmgen.serve.model_catalog import ModelCatalog


def test_a_folder_goes_by_its_name_alone(tiny_runtime: Runtime) -> None:
    catalog = ModelCatalog(tiny_runtime)
    name = Path(tiny_runtime.config.encoder).name
    assert catalog.find(name, "encoder") == catalog.find(None, "encoder") == tiny_runtime.config.encoder
    assert all("/" not in one.id or one.reference == one.id for one in catalog.served())
    assert model_catalog.name_of(f"{tiny_runtime.config.encoder}#int8") == f"{name}#int8"


def test_a_precision_and_a_kind_are_checked(tiny_runtime: Runtime) -> None:
    catalog = ModelCatalog(tiny_runtime)
    assert catalog.find("embedded:minilm#int8", "encoder") == "embedded:minilm#int8"
    for unknown in ("embedded:minilm#int3", "embedded:minilmm", "/etc"):
        with pytest.raises(UnknownModel, match="is not served here"):
            catalog.get(unknown)
    with pytest.raises(BadRequest, match="embedded:minilm is of kind encoder, not text"):
        catalog.find("embedded:minilm", "text")
