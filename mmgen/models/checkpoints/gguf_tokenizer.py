"""Tokenizers that GGUF files describe: byte-level BPE and sentencepiece's, special tokens, ends of text, chat template."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.gguf_pre_tokenizers import BEGINS, SPLITS, WHOLE_WORDS
from mmgen.models.checkpoints.gguf_reader import GGUFFile
from mmgen.registry import one_line

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CONTROL, USER_DEFINED = 3, 4
"""Kinds of tokens: control tokens are no text, those defined by users are, but are never cut into pieces."""
ENDS = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<turn|>", "<|endoftext|>", "<|eom_id|>",
    "< EOT >", "<EOT>", "_<EOT>", "[EOT]", "<|end_of_text|>", "<|end_of_turn|>", "<end_of_utterance>", "<eos>",
    "<｜end▁of▁sentence｜>", "</s>",
)  # fmt: skip
"""Control tokens that end what a model says, whatever the file calls its end of text; llama.cpp has the same list."""
SPECIAL = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
SPACE = "▁"


def fast(file: GGUFFile) -> Tokenizer:
    """Raises BadWeights where it is of a kind that we do not have, damaged, or not the model's."""
    kind = str(file.metadata.get("tokenizer.ggml.model"))
    if kind not in KINDS:
        raise BadWeights(f"{file.path} has a tokenizer of the kind {kind!r}; there are {', '.join(KINDS)}")
    tokens = _tokens(file)
    try:
        made = KINDS[kind](file, tokens)
    except BadWeights:
        raise
    except Exception as why:  # the library raises bare Exception
        raise BadWeights(f"{file.path} has a damaged tokenizer ({one_line(why)[:200]}); copy or download it again") from None
    _add_special(made, file, tokens)
    _add_ends(made, file, tokens, kind)
    return made


def special_tokens(file: GGUFFile) -> dict[str, str]:
    """What chat templates know as `bos_token` and the like."""
    tokens = file.metadata.get("tokenizer.ggml.tokens", ())
    told = {name: file.metadata.get(f"tokenizer.ggml.{key}_token_id") for name, key in SPECIAL.items()}
    return {name: tokens[number] for name, number in told.items() if number is not None and number < len(tokens)}


def end_ids(file: GGUFFile) -> list[int]:
    """Of all tokens that end what a model says."""
    told = (file.metadata.get(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot", "eom"))
    found = {number for number in told if number is not None}
    kinds = file.metadata.get("tokenizer.ggml.token_type", ())
    control = {token: number for number, (token, kind) in enumerate(zip(_tokens(file), kinds, strict=False)) if kind == CONTROL}
    found |= {control[token] for token in ENDS if token in control}
    if {"<|return|>", "<|call|>", "<|end|>"} <= control.keys():  # gpt-oss: there <|end|> ends a message, of several
        found.discard(control["<|end|>"])
    return sorted(found)


def chat_template(file: GGUFFile) -> str:
    """Jinja; empty where there is none."""
    return str(file.metadata.get("tokenizer.chat_template", ""))


def _tokens(file: GGUFFile) -> list[str]:
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens:
        raise BadWeights(f"{file.path} has no tokens; convert the model again, with its tokenizer")
    embedding = file.tensors.get("token_embd.weight")
    if embedding is not None and len(tokens) > (vectors := embedding.shape[0]):
        raise BadWeights(f"{file.path} has {len(tokens)} tokens and {vectors} vectors: its tokenizer is another model's")
    return tokens


def _bpe(tokens: Sequence[str], merges: Sequence[tuple[str, str]], **options: Any) -> Tokenizer:
    from tokenizers import Tokenizer, models

    return Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, list(merges), **options))


def _merges(file: GGUFFile) -> list[tuple[str, str]]:
    """As the file lists them. A first part may begin with a space."""
    told = file.metadata.get("tokenizer.ggml.merges")
    if not told:
        raise BadWeights(f"{file.path} lists no merges of its tokens; convert the model again, with its tokenizer")
    pairs = ((merge, merge.find(" ", 1)) for merge in told)
    return [(merge[:at], merge[at + 1 :]) for merge, at in pairs]


def _byte_level(file: GGUFFile, tokens: list[str]) -> Tokenizer:
    from tokenizers import Regex, decoders, pre_tokenizers

    name = file.metadata.get("tokenizer.ggml.pre", "default")
    if name not in SPLITS:
        raise BadWeights(f"{file.path} cuts texts as {name!r}, which is not known here; there are {', '.join(SPLITS)}")
    made = _bpe(tokens, _merges(file), ignore_merges=name in WHOLE_WORDS)
    cuts = [pre_tokenizers.Split(Regex(split), "isolated") for split in SPLITS[name]]
    made.pre_tokenizer = pre_tokenizers.Sequence([*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    made.decoder = decoders.ByteLevel()
    return made


def _sentencepiece(file: GGUFFile, tokens: list[str]) -> Tokenizer:
    from tokenizers import decoders, normalizers, pre_tokenizers

    if file.architecture.startswith("gemma"):
        return _gemma(file, tokens)
    made = _bpe(tokens, _implied_merges(tokens, _scores(file, tokens)), **_unknown(file, tokens))
    prefixed = file.metadata.get("tokenizer.ggml.add_space_prefix", True)
    if file.architecture == "phi3":  # a space before the text even if it begins with one
        first = [normalizers.Prepend(SPACE)] if prefixed else []
        made.normalizer = normalizers.Sequence([*first, normalizers.Replace(" ", SPACE)])
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, "first" if prefixed else "never", split=False)
    last = [decoders.Strip(" ", 1, 0)] if prefixed else []
    made.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *last])
    return made


def _gemma(file: GGUFFile, tokens: list[str]) -> Tokenizer:
    """Without a space before the text. Tokens stand in the order of their merges; several spaces stand as they are."""
    from tokenizers import decoders, normalizers

    tokens = [SPACE * len(token) if token and not token.strip(" ") else token for token in tokens]
    listed = "tokenizer.ggml.merges" in file.metadata
    merges = _merges(file) if listed else _implied_merges(tokens, [-float(number) for number in range(len(tokens))])
    made = _bpe(tokens, merges, **_unknown(file, tokens))
    made.normalizer = normalizers.Replace(" ", SPACE)
    made.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    return made


def _unknown(file: GGUFFile, tokens: Sequence[str]) -> dict[str, Any]:
    number = file.metadata.get("tokenizer.ggml.unknown_token_id")
    unknown = {} if number is None else {"unk_token": tokens[number]}
    return {"byte_fallback": True, "fuse_unk": True, **unknown}


def _scores(file: GGUFFile, tokens: Sequence[str]) -> list[float]:
    scores = file.metadata.get("tokenizer.ggml.scores", ())
    if len(scores) != len(tokens):
        raise BadWeights(f"{file.path} has {len(scores)} scores for {len(tokens)} tokens; convert the model again")
    return list(scores)


def _implied_merges(tokens: Sequence[str], scores: Sequence[float]) -> list[tuple[str, str]]:
    """Every way to make a token of two others, the token with the highest score first: what sentencepiece's BPE does."""
    numbers = {token: number for number, token in enumerate(tokens)}
    found = []
    for token, score in zip(tokens, scores, strict=True):
        pairs = ((token[:at], token[at:]) for at in range(1, len(token)))
        both = [pair for pair in pairs if pair[0] in numbers and pair[1] in numbers]
        found += [(score, pair) for pair in sorted(both, key=lambda pair: (numbers[pair[0]], numbers[pair[1]]))]
    found.sort(key=lambda one: (one[0], len(one[1][0]), len(one[1][1])), reverse=True)
    return [pair for _, pair in found]


def _add_special(made: Tokenizer, file: GGUFFile, tokens: Sequence[str]) -> None:
    """Tokens that are never cut into pieces."""
    from tokenizers import AddedToken

    kinds = file.metadata.get("tokenizer.ggml.token_type", ())
    named = list(zip(tokens, kinds, strict=False))
    control = [AddedToken(token, normalized=False, special=True) for token, kind in named if kind == CONTROL and token]
    defined = [AddedToken(token, normalized=False) for token, kind in named if kind == USER_DEFINED and token]
    made.add_special_tokens(control)
    made.add_tokens(defined)


def _add_ends(made: Tokenizer, file: GGUFFile, tokens: Sequence[str], kind: str) -> None:
    """The tokens that the model wants around every text."""
    from tokenizers import processors

    begins = kind == "llama" or file.metadata.get("tokenizer.ggml.pre") in BEGINS
    wanted = {
        "bos": file.metadata.get("tokenizer.ggml.add_bos_token", begins) and kind != "gemma4",  # its template writes one
        "eos": file.metadata.get("tokenizer.ggml.add_eos_token", False),
    }
    ids = {key: file.metadata.get(f"tokenizer.ggml.{key}_token_id") for key, add in wanted.items() if add}
    there = {key: (tokens[number], number) for key, number in ids.items() if number is not None and number < len(tokens)}
    if there:
        text = [*([there["bos"][0]] if "bos" in there else []), "$A", *([there["eos"][0]] if "eos" in there else [])]
        made.post_processor = processors.TemplateProcessing(single=text, special_tokens=list(there.values()))


KINDS: Mapping[str, Callable[[GGUFFile, list[str]], Tokenizer]] = {
    "gpt2": _byte_level,
    "llama": _sentencepiece,
    "gemma4": _gemma,
}
"""By tokenizer.ggml.model."""
