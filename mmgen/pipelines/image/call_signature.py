"""The signature of an image pipeline's call, from the fields of ImageParams: one place for its options and their help."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from inspect import Parameter, Signature
from operator import or_
from types import GenericAlias
from typing import Any

from mmgen import image_params
from mmgen.engine.job import Request
from mmgen.params import infos, keywords
from mmgen.pipelines.signature import Parameter as Declared
from mmgen.pipelines.signature import alternatives, declared


def call_signature(required: Collection[str], omitted: Collection[str], defaults: Mapping[str, Any]) -> Signature:
    """Of the fields that are not `omitted`: the `required` ones can be given by position, the others have a default."""
    first = [
        Parameter(one.name, Parameter.POSITIONAL_OR_KEYWORD, annotation=_given(one))
        for one in declared(image_params.ImageParams)
        if one.name in required
    ]
    more = keywords(image_params.ImageParams, leave_out={*required, *omitted}, defaults=defaults)
    request = Parameter("request", Parameter.KEYWORD_ONLY, default=None, annotation=Request | None)
    return Signature([*first, *more, request], return_annotation="Images")


def docstring(signature: Signature, text: str, helps: Mapping[str, str]) -> str:
    """`text`, a line of help for every parameter, and what is raised. `helps` goes before the fields' own."""
    fields = {name: info.help for name, info in infos(image_params.ImageParams).items()} | dict(helps)
    lines = [f"{name}: {fields[name]}" for name in signature.parameters if name in fields]
    told = [textwrap.fill(line, 120, subsequent_indent="    ", break_on_hyphens=False) for line in lines]
    raised = (
        "Raises BadRequest for a value out of its range, NotFound for a model that is not here, BadWeights for a damaged one."
    )
    return "\n\n".join([text, "\n".join(told), raised])


def _given(one: Declared) -> Any:
    kind = reduce(or_, alternatives(one.annotation))
    return kind | GenericAlias(Sequence, kind) if one.info.many else kind
