"""/v1/keys: the server's API keys, for keys with scope admin; /v1/usage: the caller's own device time of today."""

from __future__ import annotations

import time
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from mmgen.errors import Forbidden
from mmgen.serve.accounts.quotas import Quotas
from mmgen.serve.context import Context, Here
from mmgen.stores.keys import EVERYDAY, SCOPES, ApiKey, KeyStore

PAGE = files("mmgen.serve.accounts") / "admin.html"
Names = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=1000)]


class NewKey(BaseModel, extra="forbid"):
    """A key to be made."""

    name: str = Field(max_length=64, description="Its user: shares, rates, quotas and history go by it.")
    scopes: Names = Field(default=list(EVERYDAY), description=f"Of {', '.join(SCOPES)}.")
    stores: Names | None = Field(default=None, description="Stores that it may use; null: all.")
    weight: float = Field(default=1.0, description="Scheduling weight: 2 gets twice the device time of 1.")
    rate: str | None = Field(default=None, max_length=20, description="Rate limit, such as 60/min.")
    quota: float | None = Field(default=None, gt=0, description="Device-seconds a day.")
    days: float | None = Field(default=None, ge=0, le=36500, description="Days until it expires.")


class ChangedKey(BaseModel, extra="forbid"):
    """What of a key is to be other; what is left out stays."""

    scopes: Names | None = None
    stores: Names | None = None
    weight: float | None = None
    rate: str | None = Field(default=None, max_length=20)
    quota: float | None = Field(default=None, gt=0)


class UseOfToday(BaseModel):
    """A user's device time of today, by UTC."""

    object: str = "usage"
    user: str
    used: float = Field(description="Device-seconds.")
    quota: float | None = Field(description="Device-seconds a day; null: no limit.")
    renews: float = Field(description="When the day ends, in seconds since 1970.")


def _admin(context: Here) -> Context:
    """Raises Forbidden; the first administrator is made by who can write the home's files."""
    if not _keys(context).any() and not context.caller.owner:
        raise Forbidden("there are no keys yet; make an administrator's first: mmgen keys add NAME --scopes all,admin")
    context.caller.check("admin")
    return context


Admin = Annotated[Context, Depends(_admin)]
shared = APIRouter()
"""At two places, so that the page's browser sends its password along."""


@shared.get("")
def list_keys(context: Admin) -> dict[str, Any]:
    """Every key, also revoked ones, without its secret, with its user's device time of today."""
    return {"object": "list", "data": [_told(context, key) for key in _keys(context).all()]}


@shared.post("", status_code=201)
def create_key(body: NewKey, context: Admin) -> dict[str, Any]:
    """The key itself is in this answer, and nowhere else."""
    expires = None if body.days is None else time.time() + body.days * 86400
    key = _keys(context).create(body.name, body.weight, body.rate, body.scopes, body.stores, expires)
    _quotas(context).store.set(body.name, body.quota)
    return {**_named(context, body.name), "key": key}


@shared.patch("/{name}")
def change_key(name: str, body: ChangedKey, context: Admin) -> dict[str, Any]:
    """Other rights for the same key, at once. null takes a limit off."""
    said = body.model_dump(exclude_unset=True)
    _keys(context).change(name, **{field: value for field, value in said.items() if field != "quota"})
    if "quota" in said:
        _quotas(context).store.set(name, body.quota)
    return _named(context, name)


@shared.post("/{name}/rotate")
def rotate_key(name: str, context: Admin) -> dict[str, Any]:
    """A new key in its place, with the same rights; it is in this answer, and nowhere else."""
    key = _keys(context).rotate(name)
    return {**_named(context, name), "key": key}


@shared.delete("/{name}")
def revoke_key(name: str, context: Admin) -> dict[str, Any]:
    """Ends it at once. Its name stays taken."""
    _keys(context).revoke(name)
    return _named(context, name)


router = APIRouter(tags=["keys"])
router.include_router(shared, prefix="/v1/keys")
router.include_router(shared, prefix="/admin/keys", include_in_schema=False)


@router.get("/v1/usage")
def usage(context: Here) -> UseOfToday:
    """The caller's device time of today, and what is left of its quota."""
    use = _quotas(context).today(context.caller.user)
    return UseOfToday(user=context.caller.user, used=use.used_s, quota=use.quota_s, renews=use.renews)


@router.get("/admin", include_in_schema=False)
def page(context: Admin) -> HTMLResponse:
    """Lists, makes and revokes keys in a browser."""
    return HTMLResponse(PAGE.read_text(encoding="utf-8"))


def _keys(context: Context) -> KeyStore:
    found: KeyStore = context.http.app.state.keys
    return found


def _quotas(context: Context) -> Quotas:
    found: Quotas = context.http.app.state.quotas
    return found


def _named(context: Context, name: str) -> dict[str, Any]:
    return _told(context, next(key for key in _keys(context).all() if key.name == name))


def _told(context: Context, key: ApiKey) -> dict[str, Any]:
    use = _quotas(context).today(key.name)
    return {"object": "key", **key.to_dict(), "state": key.state(time.time()), "quota": use.quota_s, "used_today": use.used_s}
