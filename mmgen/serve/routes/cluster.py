"""/v1/cluster: the replicas of `mmgen serve --ray`, and their replacement without an error."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from mmgen.errors import NotFound
from mmgen.serve.cluster.fleet import Fleet
from mmgen.serve.context import Context, Here

router = APIRouter(prefix="/v1/cluster", tags=["cluster"])


@router.get("")
async def cluster(context: Here) -> dict[str, Any]:
    """Replicas with their models, where they run and what they have to do; groups, and why one is started no more."""
    context.caller.check("engine")
    fleet = _fleet(context)
    told, states = fleet.dispatcher, fleet.dispatcher.router.replicas
    replicas = [
        {
            "name": name,
            "where": replica.where,
            "models": sorted(states[name].models),
            "requests": len(states[name].sent),
            "predicted_seconds": round(states[name].queue_s, 3),
            "draining": states[name].draining,
            "trouble": told.reports[name].trouble or None if name in told.reports else None,
        }
        for name, replica in told.replicas.items()
    ]
    groups = [
        {"name": state.name, "starting": len(state.names - told.replicas.keys()), "trouble": state.trouble or None}
        for state in fleet.groups.values()
    ]
    return {
        "object": "cluster", "waiting": len(told.router.waiting), "deaths": told.deaths, "replayed": told.replayed,
        "trouble": fleet.trouble or None, "replicas": replicas, "groups": groups,
    }  # fmt: skip


@router.post("/update")
async def update(context: Here) -> dict[str, Any]:
    """Replaces all replicas one after another by new processes, which read code and weights anew. No request fails by it."""
    context.caller.check("admin")
    return {"object": "cluster.update", "replicas": await _fleet(context).update()}


def _fleet(context: Context) -> Fleet:
    """Raises NotFound."""
    fleet: Fleet | None = context.http.app.state.fleet
    if fleet is None:
        raise NotFound("this server runs its models itself and has no replicas; mmgen serve --ray has some")
    return fleet
