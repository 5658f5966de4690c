"""Tokenizers of the two usual kinds, over a few letters."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers


def byte_level() -> Tokenizer:
    """GPT-2's kind: a token is any bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, "Ġt", "Ġth", "he", "Ċ", "ðŁ", "ĺĢ"]
    fast = Tokenizer(models.BPE(vocab={word: n for n, word in enumerate(dict.fromkeys(words))}, merges=[]))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    return fast


def sentencepiece() -> Tokenizer:
    """Llama's kind: a word begins with its space, unknown characters are bytes."""
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdefghij", "▁a", "▁be", "é"]
    fast = Tokenizer(
        models.BPE(vocab={word: n for n, word in enumerate(words)}, merges=[], unk_token="<unk>", byte_fallback=True)
    )
    fast.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    fast.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1, right=0)
    ])  # fmt: skip
    fast.add_special_tokens(["<end>"])
    return fast
