"""Processors of tiny vision-language models, read without torchvision."""

import json
from pathlib import Path

import pytest
import tiny_vision_chat
from PIL import Image

from mmgen.errors import BadWeights
from mmgen.models.transformers_backend import processor

IMAGE = Image.linear_gradient("L").convert("RGB").resize((50, 40))


@pytest.mark.parametrize("kind", ["qwen2_vl", "smolvlm", "internvl", "llava"])
def test_images_become_inputs(kind: str, tmp_path: Path) -> None:
    made = processor.load(tiny_vision_chat.saved(kind, tmp_path))
    asked = [{"role": "user", "content": [{"type": "image", "image": IMAGE}, {"type": "text", "text": "w3 w4"}]}]
    read = made.apply_chat_template(asked, tokenize=True, return_dict=True, return_tensors="pt")
    assert read["pixel_values"].isfinite().all() and made.image_token_id in read["input_ids"][0]
    assert read["input_ids"][0, -2:].tolist() == [tiny_vision_chat.ID["w3"], tiny_vision_chat.ID["w4"]]


def test_a_folder_without_one(tmp_path: Path) -> None:
    folder = tiny_vision_chat.saved("qwen2_vl", tmp_path)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(BadWeights, match=r"has no processor that can be read \(.+\); fetch it again"):
        processor.load(folder)


def test_the_type_of_the_model_names_the_processor_where_no_file_does(tmp_path: Path) -> None:
    folder = tiny_vision_chat.saved("qwen2_vl", tmp_path)
    (folder / "processor_config.json").unlink()
    for name in ("preprocessor_config.json", "tokenizer_config.json"):
        values = json.loads((folder / name).read_text())
        values.pop("processor_class", None)
        (folder / name).write_text(json.dumps(values))
    assert type(processor.load(folder)).__name__ == "Qwen2VLProcessor"
