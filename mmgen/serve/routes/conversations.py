"""/v1/conversations: the caller's chats of the page, searched, read, named, branched, exported and deleted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from mmgen.errors import NotFound
from mmgen.serve.context import Context, Here
from mmgen.serve.routes.assistant import homeless
from mmgen.stores.conversations import LONGEST_NAME, Conversation, Conversations, as_json, as_markdown

router = APIRouter(prefix="/v1/conversations", tags=["conversations"])
KINDS = {"json": ("application/json", as_json), "markdown": ("text/markdown; charset=utf-8", as_markdown)}


class ListedConversation(BaseModel):
    object: str = "conversation"
    id: str
    name: str
    created: float = Field(description="Seconds since 1970.")
    updated: float


class ConversationList(BaseModel):
    """Last used first."""

    object: str = "list"
    data: list[ListedConversation]
    has_more: bool


class WholeConversation(ListedConversation):
    messages: list[dict[str, Any]] = Field(
        description="Oldest first: role and content; of replies also steps, citations, images in base64, and untrusted."
    )


class ConversationName(BaseModel, extra="forbid"):
    name: str = Field(min_length=1, max_length=1000, description=f"{LONGEST_NAME} characters are kept, in a line.")


class BranchPoint(BaseModel, extra="forbid"):
    after: int = Field(ge=1, lt=2**31, description="How many messages the branch begins with.")


class DeletedConversation(BaseModel):
    object: str = "conversation.deleted"
    id: str
    deleted: bool = True


def _conversations(context: Here) -> Conversations:
    """Raises Forbidden for a key that may not chat, NotFound where none are kept."""
    context.caller.check("chat")
    found: Conversations | None = context.http.app.state.conversations
    if found is None:
        raise NotFound("this server keeps no conversations; start it without --no-history")
    return found


Kept = Annotated[Conversations, Depends(_conversations)]


@router.get("")
def conversations(
    context: Here,
    kept: Kept,
    q: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ConversationList:
    """`q`: words that all stand in the name, or in one of the messages."""
    found = kept.found(context.caller.user, q, limit + 1)
    return ConversationList(data=[ListedConversation(**vars(one)) for one in found[:limit]], has_more=len(found) > limit)


@router.get("/{id}")
def conversation(context: Here, kept: Kept, id: str) -> WholeConversation:
    """With its messages."""
    found, messages = _read(context, kept, id)
    return WholeConversation(**vars(found), messages=messages)


@router.patch("/{id}")
def rename(context: Here, kept: Kept, id: str, body: ConversationName) -> ListedConversation:
    """Another name."""
    kept.rename(context.caller.user, id, body.name)
    return ListedConversation(**vars(kept.get(context.caller.user, id)))


@router.post("/{id}/branch", status_code=201)
def branch(context: Here, kept: Kept, id: str, body: BranchPoint) -> ListedConversation:
    """A copy up to a message, which goes on by itself; the conversation stays as it is."""
    return ListedConversation(**vars(kept.branch(context.caller.user, id, body.after)))


@router.get("/{id}/export", response_class=Response)
def export(context: Here, kept: Kept, id: str, form: Literal["json", "markdown"] = "json") -> Response:
    """A file of it: all there is, or text for people."""
    kind, write = KINDS[form]
    found, messages = _read(context, kept, id)
    name = f"conversation-{found.id}.{'md' if form == 'markdown' else 'json'}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(write(found, messages), media_type=kind, headers=headers)


@router.delete("/{id}")
def delete(context: Here, kept: Kept, id: str) -> DeletedConversation:
    kept.delete(context.caller.user, id)
    return DeletedConversation(id=id)


def _read(context: Context, kept: Conversations, id: str) -> tuple[Conversation, list[dict[str, Any]]]:
    found = kept.get(context.caller.user, id)
    return found, homeless(kept.messages(context.caller.user, id), context)
