"""/v1/stores: documents in, passages and answers out. Knows routes; what happens to a store is in shelf.py and filling.py."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import UploadFile
from starlette.responses import Response

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, NotFound, Unreachable
from mmgen.library import page_images, store_pool
from mmgen.library.store_pool import StorePool
from mmgen.pipelines.factory import pipeline
from mmgen.pipelines.rag.feedback import give
from mmgen.pipelines.rag_text import RagText
from mmgen.serve import document_uploads, pipeline_calls, uploads
from mmgen.serve.context import Context, Here
from mmgen.serve.document_uploads import Upload
from mmgen.serve.model_catalog import name_of
from mmgen.serve.routes.store_schemas import (
    AnswerResponse,
    Ask,
    DeletedStore,
    DocumentInfo,
    Documents,
    FeedbackInfo,
    FileOutcomes,
    GivenMetadata,
    ImageResult,
    NewDocument,
    NewFeedback,
    NewStore,
    PassageResult,
    Search,
    SearchResults,
    StoreInfo,
    Stores,
    shown,
)
from mmgen.serve.wire import bodies

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/stores", tags=["stores"])
MOST_FILES = 1000
PAGE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}}
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
ADDING = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": NewDocument.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "metadata": {"type": "string", "description": "A JSON object, kept with every file."},
                    },
                    "required": ["files"],
                }
            },
        },
    }
}


@router.get("")
def stores(context: Here) -> Stores:
    """Every store that the key may use; one on a server that cannot be opened now is left out."""
    context.caller.check("stores")
    allowed = context.caller.stores
    names = [name for name in _shelf(context).names() if allowed is None or name in allowed]
    found = []
    for name in names:
        try:
            found.append(_told(context, name))
        except (Unreachable, NotFound) as why:
            if name not in context.rt.config.stores:
                raise
            log.warning("%s", why)
    return Stores(data=found)


@router.post("")
def make(body: NewStore, context: Here) -> StoreInfo:
    """Makes an empty store."""
    name = _checked(context, "stores:write", body.name)
    encoder = None if body.encoder is None else context.model(body.encoder, "encoder")
    _shelf(context).make(name, encoder)
    return _told(context, name)


@router.get("/{name}")
def store(name: str, context: Here) -> StoreInfo:
    """A store and what is in it."""
    return _told(context, _checked(context, "stores", name))


@router.delete("/{name}")
def delete(name: str, context: Here) -> DeletedStore:
    """Deletes a store with all its documents."""
    _shelf(context).delete(_checked(context, "stores:write", name))
    return DeletedStore(id=name, object="store.deleted")


@router.get("/{name}/documents")
def documents(
    name: str,
    context: Here,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="The id of the last document that is known.")] = 0,
) -> Documents:
    """A store's documents, in the order of their ids."""
    with _shelf(context).opened(_checked(context, "stores", name)) as library:
        found = sorted((one for one in library.readable().documents() if one.id > after), key=lambda one: one.id)
    told = [
        DocumentInfo(
            name=str(one.metadata.get("name", shown(one.uri))),
            copies=list(map(shown, one.copies)),
            **_without(vars(one), "uri", "copies"),
        )
        for one in found[:limit]
    ]
    return Documents(data=told, has_more=len(found) > limit)


@router.post("/{name}/documents", openapi_extra=ADDING)
async def add(
    name: str,
    context: Here,
    language: Annotated[str | None, Query(description="Of the texts, such as de; default: found out for each.")] = None,
) -> FileOutcomes:
    """Adds documents: files of a form, or one as JSON. What one of them lacks keeps none of the others out."""
    _checked(context, "stores:write", name)
    given = await _given(context)
    request = context.begin("rag-add", "stores:write", "batch", name)

    def work() -> FileOutcomes:
        with _shelf(context).opened(name) as library:
            return document_uploads.add_uploads(library, given, context.http.app.state.settings, request, language)

    return await pipeline_calls.run(context, request, work)


@router.delete("/{name}/documents/{id}")
def remove(name: str, id: Id, context: Here) -> DeletedStore:
    """Removes a document."""
    with _shelf(context).opened(_checked(context, "stores:write", name)) as library:
        document_uploads.remove(library, id)
    return DeletedStore(id=str(id), object="document.deleted")


@router.get("/{name}/documents/{id}/pages/{page}", response_class=Response, responses=PAGE)
async def page(
    name: str,
    id: Id,
    page: Annotated[int, Path(ge=1, le=2**31, description="From 1.")],
    context: Here,
    start: Annotated[int, Query(ge=0, le=2**53, description="Of a citation: its characters are marked.")] = 0,
    end: Annotated[int, Query(ge=0, le=2**53)] = 0,
    width: Annotated[int, Query(ge=page_images.NARROWEST, le=page_images.WIDEST, description="Pixels.")] = 1000,
) -> Response:
    """A page of a pdf as an image, with a quote marked; as long as its file, or the copy of an upload, is as it was added."""
    _checked(context, "stores", name)
    request = context.begin("rag-page", "stores", "interactive", name)

    def work() -> bytes:
        with _shelf(context).opened(name) as library:
            return page_images.page_image(library, id, page, (start, end), width=width, check=request.check)

    return Response(await pipeline_calls.run(context, request, work), media_type="image/png")


@router.post("/{name}/search")
async def search(name: str, body: Search, context: Here) -> SearchResults:
    """The passages nearest to a query."""
    _checked(context, "stores", name)
    request = context.begin("rag-search", "stores", "interactive", name)
    return await pipeline_calls.run(context, request, lambda: searched(name, body, context, request))


@router.post("/{name}/ask", response_model=AnswerResponse)
async def ask(name: str, body: Ask, context: Here) -> Any:
    """Answers a question from a store's documents, with exact quotes, or says that they do not.

    With `messages` a question that leans on them is rewritten to stand alone, and the answer says how.
    Streamed events have a type: "rewritten" where the question was, "passages", "text" (all that is written so far, not
    checked yet), and at last "answer".
    """
    _checked(context, "stores", name)
    request = context.begin("rag-text", "stores", "interactive", name)
    if body.stream:
        return await pipeline_calls.stream(context, request, lambda: events(name, body, context, request))
    return await pipeline_calls.run(context, request, lambda: answered(name, body, context, request))


@router.post("/{name}/feedback")
async def feedback(name: str, body: NewFeedback, context: Here) -> FeedbackInfo:
    """Says whether an answer was right, and which words are; `mmgen rag learn` trains the store's adapter on what was said."""
    _checked(context, "stores:write", name)
    request = context.begin("rag-feedback", "stores:write", "interactive", name)

    def work() -> FeedbackInfo:
        with _shelf(context).opened(name) as library:
            document = None if body.document_id is None else library.filled().document(body.document_id).uri
            said: dict[str, Any] = {"answer": body.answer, "verdict": body.verdict, "span": body.span, "document": document}
            return FeedbackInfo.of(give(library, body.question, **said, request=request))

    return await pipeline_calls.run(context, request, work)


def searched(name: str, body: Search, context: Context, request: Request) -> SearchResults:
    with _shelf(context).opened(name) as library:
        options: dict[str, Any] = {"where": body.filters, "request": request}
        hits = library.search(body.query, k=body.k, method=body.mode, rerank=context.reranker(body.rerank), **options)
        images = library.gallery().search(body.query, k=body.images, **options) if body.images else []
        return SearchResults.of(hits, images)


def answered(name: str, body: Ask, context: Context, request: Request) -> AnswerResponse:
    *_, last = events(name, body, context, request)
    return AnswerResponse.model_validate(last["answer"])


def events(name: str, body: Ask, context: Context, request: Request) -> Iterator[dict[str, Any]]:
    question, before = body.asked()
    model = context.model(body.model, "text") if body.model is not None or body.style == "sentence" else None
    params = replace(body.params(), rerank=context.reranker(body.rerank))
    rag: RagText = pipeline("rag-text", runtime=context.rt, store=name, model=model)
    with _shelf(context).opened(name) as rag.library:
        for event in rag.stream(question, params=params, history=before, request=request):
            if event.kind == "rewritten":
                yield {"type": "rewritten", "question": event.value}
            elif event.kind == "passages":
                yield {"type": "passages", "passages": [PassageResult.of(hit).model_dump() for hit in event.value]}
            elif event.kind == "images":
                yield {"type": "images", "images": [ImageResult.of(one).model_dump() for one in event.value]}
            elif event.kind == "text":
                yield {"type": "text", "text": event.value}
            elif event.kind == "answer":
                said = AnswerResponse.of(event.value).model_dump(mode="json")
                context.keep(request, body.model_dump(mode="json") | {"question": question, "store": name}, said)
                yield {"type": "answer", "answer": said}


def _shelf(context: Context) -> StorePool:
    found: StorePool = context.http.app.state.stores
    return found


def _checked(context: Context, scope: str, name: str) -> str:
    """The name, if it is one and the key may use it."""
    context.caller.check(scope, store_pool.checked(name))
    return name


def _told(context: Context, name: str) -> StoreInfo:
    with _shelf(context).opened(name) as library:
        opened = library.readable()
        images = 0 if opened.images is None else opened.images.count()
        encoder = name_of(opened.encoder)
        return StoreInfo(
            id=name, documents=len(opened.uris()) - images, passages=opened.count(), images=images, encoder=encoder
        )


async def _given(context: Context) -> list[Upload]:
    """The documents of the body, not opened yet."""
    http = context.http
    if not http.headers.get("content-type", "").startswith("multipart/form-data"):
        try:
            bodies.check(body := await http.body())  # whatever type it says it is
            one = NewDocument.model_validate_json(body)
        except ValidationError as why:
            raise _invalid(why, "body") from None
        if (one.text is None) == (one.url is None):
            raise BadRequest("give either a text or a url")
        data = None if one.text is None else one.text.encode()
        named = one.url is None or "name" in one.model_fields_set  # otherwise by the address and its type
        return [Upload((uploads.bare(one.name) or "text.txt") if named else "", data, one.url or "", one.metadata)]
    async with http.form(max_files=MOST_FILES) as form:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        try:
            bodies.check(said := str(form.get("metadata") or "{}").encode("utf-8", "surrogatepass"))
            metadata = TypeAdapter(GivenMetadata).validate_json(said)
        except ValidationError as why:
            raise _invalid(why, "body", "metadata") from None
        if not files:
            raise BadRequest("there is no file in the form; give some as files")
        most = http.app.state.settings.max_body
        return [Upload(uploads.name_of(file), await uploads.data_of(file, most), "", metadata) for file in files]


def _invalid(why: ValidationError, *where: str) -> RequestValidationError:
    return RequestValidationError([{**error, "loc": (*where, *error["loc"])} for error in why.errors(include_url=False)])


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}
