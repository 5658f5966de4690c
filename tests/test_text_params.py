"""What a text call can say: its limits, and one more option reaches every door."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from scripted_lm import Say
from typer.testing import CliRunner

from apps import forms
from mmgen.cli import text_commands
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.params import param, takes
from mmgen.pipelines import signature
from mmgen.pipelines.language.text_pipeline import Completion, Prompt, TextPipeline
from mmgen.pipelines.streaming import Event
from mmgen.runtime import Runtime
from mmgen.serve import pipeline_schema
from mmgen.text_params import Sampling, TextParams


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"max_tokens": 0}, "max_tokens is 0; it can be 1 or more"),
        ({"n": 0}, "n is 0; it can be 1 to 64"),
        ({"n": 65}, "n is 65; it can be 1 to 64"),
        ({"beams": 65}, "beams is 65; it can be 1 to 64"),
        ({"seed": -2}, "seed is -2; it can be 0 to 9223372036854775807, or -1 for a random one"),
        ({"length_penalty": 11}, "length_penalty is 11; it can be -10 to 10"),
        ({"strategy": "guess"}, "strategy is 'guess'; it can be sample, greedy, beam, contrastive"),
        ({"top_p": 0.0}, "top_p is 0.0; it can be above 0 to 1"),
        ({"stop": ("a", "")}, "stop is ('a', ''); it can be a text that is not empty, or several"),
        ({"regex": "a", "json_schema": {}}, "regex and json_schema are both given; a text follows one of them"),
    ],
    ids=str,
)
def test_out_of_range(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        TextParams(**wrong)
    assert str(caught.value) == told


def test_how_its_tokens_are_drawn() -> None:
    params = TextParams(temperature=0.3, top_k=5, logit_bias={3: 1.0}, n=4)
    assert params.sampling == Sampling(temperature=0.3, top_k=5, logit_bias={3: 1.0})
    assert hash(params.sampling) == hash(replace(params, n=1).sampling)
    greedy = replace(params, strategy="greedy")
    assert greedy.sampling.greedy and not params.sampling.greedy and greedy.temperature == 0.3


@dataclass(frozen=True)
class BriefParams(TextParams):
    """One option more."""

    brevity: float = param(1.5, "how short the text is.", least=0, most=9)


class BriefText(TextPipeline[Completion]):
    """Write little."""

    last = "completion"

    @takes(BriefParams)
    def stream(self, prompt: str, params: BriefParams, *, request: Request | None = None) -> Iterator[Event]:
        """Writes."""
        return self.write(lambda client: Prompt(prompt, client.model.encode(prompt)), params, request)


def test_a_new_option_reaches_every_door(writer: Runtime, say: Say) -> None:
    described = signature.read("brief", BriefText)
    (brevity,) = (one for one in described.parameters if one.name == "brevity")
    shown = CliRunner().invoke(_typer(), ["--help"], env={"COLUMNS": "200"}).output
    assert "--brevity" in shown and "how short the text is." in shown
    schema = pipeline_schema.model_of(described).model_json_schema()["properties"]["brevity"]
    assert (schema["default"], schema["minimum"], schema["maximum"]) == (1.5, 0, 9)
    assert schema["description"] == "how short the text is."
    field = forms.component(brevity)
    assert (field.label, field.value, field.info) == ("brevity", 1.5, "how short the text is.")
    asked = say("yes")
    BriefText(writer)("no", brevity=0.5)
    assert isinstance(asked[0].params, BriefParams) and asked[0].params.brevity == 0.5


def _typer() -> Any:
    import typer

    app = typer.Typer()
    app.command("brief")(text_commands.command("brief", BriefText))
    return app
