"""No list and no object of a request is without a bound."""

import time
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import pytest
from annotated_types import MaxLen
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from mmgen.serve.wire.bounds import Ids, entries


def unbounded(kind: Any, where: str, more: tuple[Any, ...], seen: set[Any]) -> Iterator[str]:
    """Lists and objects of a type for which nothing says how long they may be. Of `Any` nothing is looked at but the number."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        said = [told for one in inner[1:] for told in (one.metadata if isinstance(one, FieldInfo) else [one])]
        yield from unbounded(inner[0], where, (*more, *said), seen)
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind not in seen:
            seen.add(kind)
            for name, field in kind.model_fields.items():
                yield from unbounded(field.annotation, f"{kind.__name__}.{name}", tuple(field.metadata), seen)
    elif origin in (list, dict) or kind in (list, dict):
        if inner[-1:] != (Any,) and not any(isinstance(one, MaxLen | BeforeValidator) for one in more):
            yield where
        for one in inner:
            yield from unbounded(one, where, (), seen)
    else:
        for one in inner:
            yield from unbounded(one, where, more, seen)


def test_every_body_is_bounded() -> None:
    from mmgen.serve.app import ROUTERS
    from mmgen.serve.routes import a1111, ollama

    found, seen = [], set[Any]()
    routes = [route for router in ROUTERS for route in router.routes]
    for route in routes:
        if isinstance(route, APIRoute) and route.body_field is not None:
            found += unbounded(route.body_field.field_info.annotation, route.path, (), seen)
    for body in (*ollama.BODIES, *a1111.BODIES):  # read by hand
        found += unbounded(body, body.__name__, (), seen)
    uploads = {"ImageEditBody.image", "ImageEditBody.images"}  # files of a form, of which starlette takes 1,000
    assert len(seen) > 5 and set(found) <= uploads, found


@pytest.mark.parametrize("given", [{str(n): "x" for n in range(10**5)}, {str(n): 1.0 for n in range(10**5)}])
def test_objects_are_counted_before_they_are_looked_at(given: Any) -> None:
    adapter = TypeAdapter(Annotated[dict[str, float], entries(10)])
    began = time.process_time()
    with pytest.raises(ValidationError, match="100,000 entries are more than 10") as caught:
        adapter.validate_python(given)
    assert caught.value.error_count() == 1 and time.process_time() - began < 0.1


def test_the_first_wrong_item_ends_a_list() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Ids).validate_python([1, *["x"] * 10**5])
    assert caught.value.error_count() == 1
    assert TypeAdapter(Ids).validate_python([1, 2]) == [1, 2]
