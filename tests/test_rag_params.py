"""What a question to documents can say: its limits, and that every door knows each option."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from mmgen.cli.from_signature import spread
from mmgen.errors import BadRequest
from mmgen.params import infos
from mmgen.pipelines import signature
from mmgen.pipelines.rag_text import RagText
from mmgen.rag_params import RagParams
from mmgen.serve import pipeline_schema
from mmgen.serve.routes.store_schemas import Ask


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"k": 0}, "k is 0; it can be 1 to 100 passages"),
        ({"k": 2.5}, "k is 2.5; it can be 1 to 100 passages"),
        ({"images": 101}, "images is 101; it can be 0 (none) to 100"),
        ({"threshold": 1.5}, "threshold is 1.5; it can be 0 to 1"),
        ({"grounding": "loose"}, "grounding is 'loose'; it can be strict, cite, off"),
    ],
    ids=str,
)
def test_out_of_range(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        RagParams(**wrong)
    assert str(caught.value) == told


def test_the_command_line_gives_them_whole() -> None:
    taken: list[Any] = []
    app = typer.Typer()

    @spread(RagParams)
    def ask(question: str, params: RagParams) -> None:
        taken.extend([question, params])

    app.command()(ask)
    line = ["who?", "-k", "3", "--grounding", "off", "--where", "lang=en", "--where", "year>=2020"]
    assert CliRunner().invoke(app, line).exit_code == 0
    assert taken == ["who?", RagParams(3, "off", where=["lang=en", "year>=2020"])]


def test_every_option_is_known_everywhere() -> None:
    described = signature.read("rag-text", RagText)
    asked = [one.name for one in described.parameters if one.stage == "call" and not one.required]
    assert (
        [name for name in asked if name != "history"]
        == list(infos(RagParams))
        == [one.name for one in signature.declared(RagParams)]
    )
    assert infos(RagParams).keys() <= pipeline_schema.model_of(described).model_json_schema()["properties"].keys()
    schema = Ask.model_json_schema()["properties"]
    assert (schema["k"]["minimum"], schema["k"]["maximum"], schema["k"]["default"]) == (1, 100, 5)
    given = Ask(question="who?", k=7, min_confidence=0.5, filters=["lang=en"], images=2).params()
    assert given == RagParams(7, "strict", 0.5, ["lang=en"], 2)
