import subprocess
import sys
from pathlib import Path

import gguf_models
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import gguf_header
from mmgen.models.checkpoints.gguf_header import Cursor, Cut
from mmgen.models.checkpoints.gguf_reader import GGUFFile


def test_a_head_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    gguf_models.llama_file(path, Type.Q8_0)
    cursor = Cursor(np.fromfile(path, np.uint8))
    count, entries = gguf_header.begun(path, cursor)
    values, kinds = gguf_header.metadata(cursor, entries)
    tensors = [gguf_header.tensor(path, cursor) for _ in range(count)]
    whole = GGUFFile(path)
    assert (values, kinds) == (whole.metadata, whole.kinds)
    assert {name: shape for name, _, shape, _ in tensors} == {name: one.shape for name, one in whole.tensors.items()}


def test_what_is_no_head(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="no GGUF file"):
        gguf_header.begun(tmp_path, Cursor(np.frombuffer(b"PK\x03\x04", np.uint8)))
    with pytest.raises(Cut):
        gguf_header.begun(tmp_path, Cursor(np.frombuffer(b"GGUF\x03\x00", np.uint8)))


def test_lists_of_models_wait_for_no_torch() -> None:
    read = "import sys; import mmgen.serve.dialects.model_facts; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True).stdout == "False\n"
