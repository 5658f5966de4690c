"""A checkpoint's own processor: images and texts to a model's inputs. Videos are not read, so torchvision is not needed."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import pretrained
from mmgen.models.checkpoints.safetensors_io import read_json

FILES = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")
"""Where a folder may name its processor's class."""


def load(folder: Path) -> Any:
    """transformers' processor of a folder, or its tokenizer or image processor where it has nothing else.

    Raises BadWeights, in one line, where there is none that can be read.
    """
    from transformers import AutoProcessor

    try:
        with pretrained.quiet():
            made = _kind(folder)
            if getattr(made, "is_dummy", False):
                return _behind(made).from_pretrained(folder, local_files_only=True)
            if made is None or not _reads_videos(made):
                return AutoProcessor.from_pretrained(folder, local_files_only=True)
            return _without_videos(made, folder)
    except Exception as why:  # the library raises OSError, ValueError, KeyError, ImportError ...
        raise BadWeights(f"{folder} has no processor that can be read ({pretrained.brief(why)}); fetch it again") from why


def _kind(folder: Path) -> Any:
    """The processor's class, as the folder names it or as the library has it for the model's type; None: neither does."""
    import transformers
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    for name in FILES:
        values = read_json(folder / name) if (folder / name).is_file() else {}
        if (named := values.get("processor_class")) is not None and hasattr(transformers, str(named)):
            return getattr(transformers, str(named))
    kind = CONFIG_MAPPING[str(read_json(folder / "config.json").get("model_type"))]
    return PROCESSOR_MAPPING.get(kind, None)


def _behind(dummy: Any) -> Any:
    """The class itself, where the library puts another in its place for want of torchvision, although it needs none.

    Raises ImportError where it does after all.
    """
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    name = dummy.__name__
    types = [kind for kind, named in PROCESSOR_MAPPING_NAMES.items() if named == name and kind in name.lower()]
    if not types:
        raise ImportError(f"{name} needs {', '.join(dummy._backends)}")
    folder, kind = f"transformers.models.{types[0]}", types[0]
    by_torchvision = f"{folder}.image_processing_{kind}"
    sys.modules[by_torchvision] = import_module(f"{folder}.image_processing_pil_{kind}")  # which has its functions too
    try:
        return getattr(import_module(f"{folder}.processing_{kind}"), name)
    finally:
        del sys.modules[by_torchvision]


def _reads_videos(kind: Any) -> bool:
    return "video_processor" in getattr(kind, "get_attributes", list)()


def _without_videos(kind: Any, folder: Path) -> Any:
    """The processor with all of its parts but the one for videos, which needs torchvision."""
    from transformers import AutoFeatureExtractor, AutoImageProcessor
    from transformers.video_processing_utils import VideoProcessorMixin

    class NoVideos(VideoProcessorMixin):
        """Stands where a processor wants one for videos."""

        model_input_names: tuple[str, ...] = ()
        num_frames = fps = None

        def __init__(self) -> None:
            pass

    def part(name: str) -> Any:
        if name == "video_processor":
            return NoVideos()
        if name == "image_processor":
            return AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        if "tokenizer" in name:
            return kind._load_tokenizer_from_pretrained(name, folder, local_files_only=True)
        return AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)

    values, _ = kind.get_processor_dict(folder, local_files_only=True)
    unchecked = {"check_argument_for_proper_class": lambda self, name, part: type(part)}  # looks for classes of torchvision
    made: Any = type(kind.__name__, (kind,), unchecked)
    return made.from_args_and_dict([part(name) for name in kind.get_attributes()], values)
