"""Texts written under a constraint match it; what cannot be kept is told in one line."""

import json
import random
import re

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from mmgen.errors import BadRequest
from mmgen.models.lm.guided_decoding import Constraint, GrammarCompiler

WORDS = ["</s>", *"abcdefghijklmnopqrstuvwxyz0123456789", *',:.-"{}[]\\', "Ġ", "ab", "true", '":Ġ', "null"]
END = 0


def tokenizer(words: list[str]) -> Tokenizer:
    """Byte-level: Ġ is a space."""
    fast = Tokenizer(models.BPE({word: n for n, word in enumerate(words)}, []))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens(words[:1])
    return fast


@pytest.fixture(scope="module")
def grammars() -> GrammarCompiler:
    return GrammarCompiler(tokenizer(WORDS).to_str(), len(WORDS) + 5, {END})


def write(constraint: Constraint, seed: int, most: int = 200) -> str:
    """Random tokens that the mask allows, until the end."""
    rng, text = random.Random(seed), ""
    for _ in range(most):
        token = rng.choice(constraint.mask().nonzero()[:, 0].tolist())
        if token == END:
            return text
        text += WORDS[token].replace("Ġ", " ")
        constraint.accept(token)
        if constraint.complete:
            return text
    raise AssertionError(f"no end after {text!r}")


@pytest.mark.parametrize("expression", ["(ab|c){1,4}", r"[a-f]{2}-\d{3}", r"(true|null)\.?", "x"])
def test_texts_match_the_expression(grammars: GrammarCompiler, expression: str) -> None:
    texts = {write(grammars.regex(expression), seed) for seed in range(20)}
    assert all(re.fullmatch(expression, text) for text in texts)
    assert len(texts) > 1 or expression == "x"


def test_texts_follow_the_schema(grammars: GrammarCompiler) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"enum": ["ab", "cd"]},
            "n": {"type": "integer", "minimum": 10, "maximum": 99},
            "ok": {"type": "boolean"},
        },
        "required": ["name", "n", "ok"],
        "additionalProperties": False,
    }
    for seed, given in enumerate((schema, json.dumps(schema))):
        value = json.loads(write(grammars.json_schema(given), seed))
        assert value["name"] in ("ab", "cd") and 10 <= value["n"] <= 99 and isinstance(value["ok"], bool)


def test_a_copy_goes_its_own_way(grammars: GrammarCompiler) -> None:
    one = grammars.regex("(ab|cd)e")
    other = one.copy()
    one.accept(WORDS.index("ab"))
    other.accept(WORDS.index("c"))
    assert [WORDS[n] for n in one.mask().nonzero()[:, 0]] == ["e"]
    assert [WORDS[n] for n in other.mask().nonzero()[:, 0]] == ["d"]


def test_ids_beyond_the_tokenizer_are_never_allowed(grammars: GrammarCompiler) -> None:
    mask = grammars.regex(".*").mask()
    assert len(mask) == len(WORDS) + 5 and not mask[-5:].any()


def test_a_complete_text_ends_without_an_end_token(grammars: GrammarCompiler) -> None:
    constraint = grammars.regex("ab")
    assert not constraint.complete
    constraint.accept(WORDS.index("ab"))
    assert constraint.complete


def test_a_model_without_an_end_token() -> None:
    with pytest.raises(BadRequest, match=r"^this model has no token that ends a text"):
        GrammarCompiler(tokenizer(WORDS).to_str(), len(WORDS), ()).regex("ab")


def test_a_vocabulary_that_cannot_write_it() -> None:
    with pytest.raises(BadRequest, match=r"^no token of this model's vocabulary can continue under the constraint; loosen it$"):
        GrammarCompiler(tokenizer(["</s>", "a", "b"]).to_str(), 3, {0}).regex("Ω+").mask()


def test_a_tokenizer_without_bytes() -> None:
    plain = Tokenizer(models.WordLevel({"</s>": 0, "a": 1}, unk_token="</s>"))
    with pytest.raises(BadRequest, match=r"^this model's tokenizer cannot be constrained \(can't determine decoder type"):
        GrammarCompiler(plain.to_str(), 2, {0}).regex("a")


@pytest.mark.parametrize(
    ("kind", "given", "told"),
    [
        ("regex", "[ab", "regex '[ab' cannot be used: unclosed character class"),
        ("json_schema", "{bad", "JSON schema '{bad' is no JSON"),
        ("json_schema", "[1]", "JSON schema '[1]' is no object"),
        ("json_schema", {"type": "banana"}, 'JSON schema \'{"type": "banana"}\' cannot be used: Invalid type: banana'),
    ],
)
def test_what_is_no_constraint(grammars: GrammarCompiler, kind: str, given: object, told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        getattr(grammars, kind)(given)
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)
