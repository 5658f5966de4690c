"""A tiny random causal language model with a tokenizer, in a folder as a user would give it by reference."""

from pathlib import Path

import tiny_corpus


def make(folder: Path, seed: int = 0) -> Path:
    import torch

    from mmgen.models import transformer_config
    from mmgen.models.lm import language_model
    from mmgen.models.lm.language_model import LanguageModel
    from mmgen.training.recipes import tokenizer
    from mmgen.training.recipes.language_model import init_weights

    torch.manual_seed(seed)
    lm = LanguageModel(transformer_config.load({**tiny_corpus.MODEL, "vocab_size": 300, "num_kv_heads": 1, "max_tokens": 64}))
    init_weights(lm)
    language_model.save(lm, folder, "llama", {"eos_token_id": 0, "bos_token_id": 0})
    tokenizer.save(tokenizer.train(tiny_corpus.documents(), vocabulary=300), folder)
    return folder
