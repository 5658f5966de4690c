"""Weights under every name that people's folders have."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file

SPELLINGS = {
    "variant": ["{stem}.fp16.safetensors"],
    "shards": ["{stem}-00001-of-00002.safetensors", "{stem}-00002-of-00002.safetensors"],
    "variant, shards": ["{stem}.fp16-00001-of-00002.safetensors", "{stem}.fp16-00002-of-00002.safetensors"],
    "shards, variant": ["{stem}-00001-of-00002.fp16.safetensors", "{stem}-00002-of-00002.fp16.safetensors"],
}
INDEX = {
    "shards": "{stem}.safetensors.index.json",
    "variant, shards": "{stem}.safetensors.index.fp16.json",
    "shards, variant": "{stem}.fp16.safetensors.index.json",
}


def respell(weights: Path, spelling: str, index: bool = False) -> None:
    """Writes a file's tensors anew under such names, and removes it."""
    names = [name.format(stem=weights.stem) for name in SPELLINGS[spelling]]
    tensors = load_file(weights)
    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
    weights.unlink()
    parts = {name: sorted(tensors)[n :: len(names)] for n, name in enumerate(names)}
    for name, keys in parts.items():
        save_file({key: tensors[key] for key in keys}, weights.with_name(name), metadata)
    if index and spelling in INDEX:
        told = {"metadata": {}, "weight_map": {key: name for name, keys in parts.items() for key in keys}}
        weights.with_name(INDEX[spelling].format(stem=weights.stem)).write_text(json.dumps(told))
