"""GGUF files: metadata, tensors, parts, and what is said of damaged ones."""

import struct
from pathlib import Path

import gguf
import gguf_models
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Type

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import gguf_reader
from mmgen.models.checkpoints.gguf_reader import GGUFFile


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    gguf_models.llama_file(path, Type.Q8_0)
    return path


def test_metadata_and_tensors_are_gguf_pys(path: Path) -> None:
    ours, theirs = GGUFFile(path), gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert ours.metadata == fields and len(fields) > 15
    assert list(ours.tensors) == [tensor.name for tensor in theirs.tensors]
    for tensor in theirs.tensors:
        mine = ours.tensors[tensor.name]
        assert mine.shape == tuple(tensor.shape.tolist())[::-1] and mine.type.name == tensor.tensor_type.name
        assert np.array_equal(mine.values().numpy(), gguf.quants.dequantize(tensor.data, tensor.tensor_type))
    assert ours.tensors["token_embd.weight"].packed().shape == (264, 64)
    assert torch.equal(ours.tensors["token_embd.weight"].packed().dequantize(), ours.tensors["token_embd.weight"].values())


def test_all_kinds_of_metadata(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "kinds.gguf", "llama")
    values = {"uint8": 200, "int8": -3, "uint16": 60_000, "int16": -300, "int32": -70_000, "uint64": 2**40, "int64": -(2**40)}
    for kind, value in values.items():
        getattr(writer, f"add_{kind}")(kind, value)
    writer.add_float64("f64", 0.1)
    writer.add_bool("yes", True)
    writer.add_array("words", ["a", "ö", ""])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_array("flags", [True, False])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    metadata = GGUFFile(tmp_path / "kinds.gguf").metadata
    assert {name: metadata[name] for name in values} == values
    assert (metadata["f64"], metadata["yes"], metadata["words"]) == (0.1, True, ["a", "ö", ""])
    assert (metadata["numbers"], metadata["flags"]) == ([1, 2, 3], [True, False])


def split(path: Path, count: int = 3) -> list[Path]:
    """A file in parts, as llama.cpp's gguf-split makes them."""
    writer = gguf.GGUFWriter(path, "llama", split_max_tensors=8)
    gguf_models.add(writer, "llama.block_count", 1)
    for number in range(20):
        writer.add_tensor(f"blk.{number}.weight", np.full((2, 32), number, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    parts = sorted(path.parent.glob(f"{path.stem}-*.gguf"))
    assert len(parts) == count
    return parts


def test_parts(tmp_path: Path) -> None:
    parts = split(tmp_path / "big.gguf")
    for part in (parts[0], parts[2]):
        file = GGUFFile(part)
        assert len(file.tensors) == 20 and file.need("block_count") == 1
        assert float(file.tensors["blk.19.weight"].values()[0, 0]) == 19
    parts[1].unlink()
    with pytest.raises(BadWeights, match=r"lacks big-00002-of-00003\.gguf, of 3 parts; copy or download it again"):
        GGUFFile(parts[0])


def test_a_part_of_another_model(tmp_path: Path) -> None:
    parts = split(tmp_path / "big.gguf")
    parts[1].write_bytes(parts[2].read_bytes())
    with pytest.raises(BadWeights, match=r"holds blk\.16\.weight twice"):
        GGUFFile(parts[0])


def test_cut_short_anywhere(path: Path, tmp_path: Path) -> None:
    whole, short = path.read_bytes(), tmp_path / "short.gguf"
    for size in (6, 12, 30, 200, 2000, 9000, len(whole) // 2, len(whole) - 1):
        short.write_bytes(whole[:size])
        with pytest.raises(BadWeights, match="is cut short") as error:
            GGUFFile(short)
        assert "\n" not in str(error.value) and "again" in str(error.value)


def test_no_gguf(path: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(BadWeights, match=r"is no GGUF file: it begins with b'PK"):
        GGUFFile(bad)
    bad.write_bytes(b"")
    with pytest.raises(BadWeights, match="cannot be read"):
        GGUFFile(bad)
    bad.write_bytes(b"GGUF" + struct.pack("<I", 1) + bytes(100))
    with pytest.raises(BadWeights, match="is GGUF of version 1; version 2 and 3 are read"):
        GGUFFile(bad)
    bad.write_bytes(b"GGUF" + struct.pack(">I", 3) + bytes(100))
    with pytest.raises(BadWeights, match="is written for big-endian machines"):
        GGUFFile(bad)
    with pytest.raises(BadWeights, match="cannot be read"):
        gguf_reader.opened(tmp_path / "none.gguf")


def test_an_unknown_type(path: Path, tmp_path: Path) -> None:
    file, bad = GGUFFile(path), tmp_path / "bad.gguf"
    name = b"token_embd.weight"
    data = bytearray(path.read_bytes())
    at = data.index(name, data.index(b"general.architecture")) + len(name)  # dimensions, their sizes, type, offset
    assert struct.unpack_from("<I", data, at)[0] == 2 and "token_embd.weight" in file.tensors
    struct.pack_into("<I", data, at + 4 + 16, 99)
    bad.write_bytes(data)
    with pytest.raises(BadWeights, match=r"token_embd\.weight is of GGML's type number 99, which is not known here"):
        GGUFFile(bad)
    struct.pack_into("<I", data, at + 4 + 16, 14)
    bad.write_bytes(data)
    with pytest.raises(BadWeights, match=r"token_embd\.weight of \(264, 64\) does not fit blocks of Q6_K"):
        GGUFFile(bad)


def test_random_damage_is_one_line(path: Path, tmp_path: Path) -> None:
    """Bytes of the header changed at random: read, or refused in one line."""
    whole, bad = path.read_bytes(), tmp_path / "bad.gguf"
    random = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(whole)
        for at in random.integers(4, 8000, 3):
            data[at] = random.integers(256)
        bad.write_bytes(data)
        try:
            GGUFFile(bad)
        except BadWeights as error:
            assert "\n" not in str(error)


def test_what_was_read_is_released_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    gguf_models.llama_file(path)
    file = gguf_reader.opened(path)
    before = {name: tensor.values() for name, tensor in file.tensors.items()}
    file.release()
    assert all(torch.equal(tensor.values(), before[name]) for name, tensor in file.tensors.items())
