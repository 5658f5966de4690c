"""Sends requests to replicas: the least served user first, to where the request is expected to be done first.

A replica gets requests until those sent there are expected to take `window_s`; the others wait here, in fair order. Where one
goes: of two replicas drawn at random that have its model and room (Mitzenmacher 2001, the power of two choices), and of those
that have read the beginning of its prompt, the one with the least predicted finish. A model that is loaded nowhere goes to one
replica. One whose requests wait goes to one more where that pays: they are expected to take longer than loading it, and than
loading again what has to go for it. A decision looks at the same few whatever their
number is, and at one request for each model that somebody waits for.

The bound on fairness. Let two users have requests waiting all the time that may go to any of N replicas, and c be the most
that one of their requests takes. What they were charged differs, by weight, by c at most; what they were given differs by
c and by what is under way, N (window_s + c): so much may be one user's alone. `bound_s` is this sum. It counts predictions
as right; what they are off is settled at the user's next request.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from itertools import islice

from mmgen.cluster.prefixes import PrefixIndex
from mmgen.cluster.replica_state import ModelInfo, RandomSet, ReplicaState
from mmgen.cluster.waiting import FairWaiting
from mmgen.cluster.work import ClusterRequest, RequestCosts, SentTo
from mmgen.errors import BadRequest, Clash, NotFound, TooLarge

KNOWN = 3
"""Replicas looked at that have read a prompt's beginning, the last that did."""
PATIENCE = 2.0
"""Times as long as loading takes, that others run before a replica is emptied for a model that is loaded nowhere: so models
that do not fit together take turns that are longer than what changing costs."""
READING = 0.5
"""Part of a request's cost that reading its prompt is taken to be."""
ALONE = 4
"""Replicas that a request may lose in company. From then on it has one for itself: what kills replicas takes no other request
with it, and what merely was there is done before the next one dies."""


class ClusterRouter:
    """Free of threads and clocks: who calls it holds a lock, and tells it what happens."""

    def __init__(
        self,
        models: Mapping[str, ModelInfo],
        window_s: float = 2.0,
        costs: RequestCosts | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """
        Args:
            models: what each needs, by its name.
            window_s: predicted seconds of requests that a replica has at once, so that it can batch them; more wait here.
        """
        self.models, self.window_s = dict(models), window_s
        self.costs, self.rng = costs or RequestCosts(), rng or random.Random()
        self.replicas: dict[str, ReplicaState] = {}
        self.prefixes, self.waiting = PrefixIndex(), FairWaiting()
        self.moves = self.decisions = self.looked_at = 0  # models loaded; requests sent; replicas and queues seen for it
        self._holders = {model: RandomSet[str]() for model in models}  # model -> replicas that have it
        self._open = {model: RandomSet[str]() for model in models}  # ... and room besides
        self._room = {model: RandomSet[str]() for model in models}  # model -> replicas with room that may hold it and do not
        self._sent_s = 0.0  # predicted seconds of all that was sent
        self._since: dict[str, float] = {}  # model that is loaded nowhere and finds no place -> `_sent_s` when that began
        self._reserved: set[str] = set()  # models that a replica is kept for, see `_reserve`
        self._placed = {model: RandomSet[str]() for model in models}  # model -> replicas that may hold it
        self._emptied: str | None = None  # the replica that is emptied for a request that goes alone

    def bound_s(self, most_s: float) -> float:
        """Device-seconds by which two users of equal weight who always wait can differ; `most_s`: of a request."""
        return most_s + len(self.replicas) * (self.window_s + most_s)

    def set_weight(self, user: str, weight: float) -> None:
        """A user of weight 2 gets twice the device-seconds of one of weight 1 while both wait. Raises BadRequest."""
        if not (weight > 0 and math.isfinite(weight)):
            raise BadRequest(f"weight of {user} is {weight}; it must be above 0")
        self.waiting.shares.weights[user] = weight
        if user in self.waiting.shares.flows:
            self.waiting.shares.flows[user].weight = weight

    def join(self, replica: ReplicaState) -> None:
        """A replica begins. Raises Clash for a name that is taken."""
        if replica.name in self.replicas:
            raise Clash(f'there is already a replica "{replica.name}"; use another name')
        self.replicas[replica.name] = replica
        for model in replica.may_hold:
            for table in (self._holders, self._open, self._room):
                table.setdefault(model, RandomSet())
            placed = self._placed.setdefault(model, RandomSet())
            if self._fits(replica, model):
                placed.add(replica.name)
            if model in replica.models:
                self._holders[model].add(replica.name)
        if self._has_room(replica):
            self._reopen(replica)

    def leave(self, name: str) -> list[ClusterRequest]:
        """A replica died, or ended. Returns what was under way there, which waits now, first of its users' requests."""
        replica = self.replicas[name]
        self._close(replica)
        del self.replicas[name]
        self._reserved.discard(replica.reserved or "")
        if self._emptied == name:
            self._emptied = None
        for model in replica.may_hold:
            self._holders[model].discard(name)
            self._placed[model].discard(name)
        self.prefixes.drop(name)
        lost = list(replica.sent.values())
        for request in reversed(lost):
            request.replica = None
            self.waiting.add(request, first=True)
        return lost

    def drain(self, name: str) -> None:
        """It gets nothing new."""
        replica = self.replicas[name]
        self._close(replica)
        replica.draining = True

    def submit(self, request: ClusterRequest) -> None:
        """It waits for `decide`. Raises NotFound for a model that no replica may hold, TooLarge where none is large enough."""
        self.check(request.model)
        request.cost_s = self.costs.seconds(request.model, request.units)
        self.waiting.add(request)

    def check(self, model: str) -> None:
        """Raises what `submit` has against a model."""
        info = self.models.get(model)
        if info is None:
            raise NotFound(f'no replica may hold "{model}"; place it in the cluster\'s configuration')
        if model in self._holders and self._holders[model].items:
            return  # it fits
        able = [one for one in self.replicas.values() if model in one.may_hold]
        if able and not any(one.fits(info) for one in able):
            largest = max(one.memory or 0 for one in able)
            raise TooLarge(
                f"{model} takes {info.nbytes:,} bytes, the largest replica it is placed on has {largest:,}; "
                "place it on a larger one, or take it in a lower precision"
            )

    def ready(self) -> Iterator[SentTo]:
        """All decisions that can be made now."""
        while (sent := self.decide()) is not None:
            yield sent

    def decide(self) -> SentTo | None:
        """The next request and where it goes; None: nobody waits, or there is no room."""
        waiting = self.waiting
        self.looked_at += len(waiting.models)
        first = [waiting.first(model) for model in waiting.models if self._can_go(model)]
        while first:
            least = first[0] if len(first) == 1 else min(first, key=_virtual)
            request = least[1]
            alone = request.plays >= ALONE
            found = self._alone(request) if alone else self._where(request)
            if found is not None:
                waiting.take(request)
                return self._send(request, found[1], found[0])
            if alone:
                self._empty(request.model)
            else:
                self._reserve(request.model)
            first.remove(least)
        return None

    def finished(self, request: ClusterRequest, device_ms: float | None = None) -> None:
        """It is done on its replica. `device_ms`: what it took; None: it did not end well, and teaches nothing."""
        replica = self._off(request)
        if device_ms is not None and replica is not None:
            self.costs.observe(request.model, request.units * (1 - READING * request.cached), request.company, device_ms)
            self.waiting.settle(request, device_ms / 1000)

    def cancel(self, request: ClusterRequest) -> None:
        """It is wanted no more, wherever it is."""
        if not self.waiting.remove(request):
            self._off(request)

    def resume(self, request: ClusterRequest) -> None:
        """What was cancelled only to wait for a while goes on, first of its user's requests."""
        self.waiting.add(request, first=True)

    def report(self, name: str, models: Mapping[str, int]) -> None:
        """What a replica says that it has loaded, with bytes."""
        replica = self.replicas[name]
        for model in models.keys() - replica.models.keys():
            if model in replica.may_hold:
                self._loaded(replica, model)
        for model in [model for model in replica.models if model not in models and not replica.company[model]]:
            del replica.models[model]
            self._unloaded(replica, model)

    def queue_s(self, models: frozenset[str]) -> float:
        """Predicted device-seconds of all requests for these models, waiting and under way."""
        waiting = sum(queue.seconds for model, queue in self.waiting.models.items() if model in models)
        return waiting + sum(one.queue_s for one in self.replicas.values() if one.may_hold & models)

    def _can_go(self, model: str) -> bool:
        return bool(self._open[model].items) or (bool(self._room[model].items) and self._worth_loading(model))

    def _worth_loading(self, model: str) -> bool:
        """Whether its requests would wait for longer than another replica takes to load it."""
        holders = len(self._holders[model].items)
        return not holders or self.waiting.models[model].seconds / holders + self.window_s > self.models[model].load_s

    def _reload_s(self, model: str) -> float:
        """Seconds that it costs to lose a copy of a model: less where others have it, more where requests wait for it."""
        wanted = 2.0 if model in self.waiting.models else 1.0
        return wanted * self.models[model].load_s / max(1, len(self._holders[model].items))

    def _pays(self, request: ClusterRequest, replica: ReplicaState, finish: float) -> tuple[float, bool]:
        """The predicted finish where the model is loaded first and whether that is worth it; `finish`: elsewhere."""
        info = self.models[request.model]
        gone = sum(self._reload_s(other) for other in replica.displaced(info, self._reload_s))
        here = replica.queue_s + info.load_s + self._cost(request, replica, 0.0)
        if not self._holders[request.model].items:
            return here + gone, True
        return here + gone, here + gone < finish and (
            not gone or self.waiting.models[request.model].seconds > info.load_s + gone
        )

    def _where(self, request: ClusterRequest) -> tuple[float, ReplicaState] | None:
        """The predicted finish, and the replica."""
        model, replicas = request.model, self.replicas
        open_, names = self._open[model], self._open[model].pair(self.rng)
        part, near = 0.0, tuple[str, ...]()
        if request.prefix:
            part, known = self.prefixes.longest(model, request.prefix)
            if known:
                near = tuple(name for name in islice(reversed(known), KNOWN) if name in open_.places)
                names = near + tuple(name for name in names if name not in near)
        self.looked_at += len(names)
        of_unit, units = self.costs.of_unit(model), request.units
        finish, chosen, cached = math.inf, None, 0.0
        for number, name in enumerate(names):
            replica = replicas[name]
            here = units * of_unit(replica.company[model] + 1)
            if number < len(near):
                here *= 1 - READING * part
            here += replica.queue_s
            if here < finish:
                finish, chosen, cached = here, replica, part if number < len(near) else 0.0
        request.cached = cached
        best = None if chosen is None else (finish, chosen)
        if best is None or self._worth_loading(model):
            best = self._beside(request, best)
        return best

    def _beside(self, request: ClusterRequest, best: tuple[float, ReplicaState] | None) -> tuple[float, ReplicaState] | None:
        """The same, with replicas that have to load its model first."""
        room, info = self._room[request.model], self.models[request.model]
        for name in room.pair(self.rng):
            self.looked_at += 1
            replica = self.replicas[name]
            if replica.can_load(info):
                finish, pays = self._pays(request, replica, math.inf if best is None else best[0])
                if pays and (best is None or finish < best[0]):
                    best, request.cached = (finish, replica), 0.0
        return best

    def _alone(self, request: ClusterRequest) -> tuple[float, ReplicaState] | None:
        """The predicted finish on an idle replica, of all: such requests are few."""
        best: tuple[float, ReplicaState] | None = None
        request.cached = 0.0
        for name in (*self._open[request.model].items, *self._room[request.model].items):
            self.looked_at += 1
            replica, info = self.replicas[name], self.models[request.model]
            if not replica.sent:
                finish = self._cost(request, replica, 0.0) + (0.0 if request.model in replica.models else info.load_s)
                if best is None or finish < best[0]:
                    best = finish, replica
        return best

    def _empty(self, model: str) -> None:
        """The replica with the least to do gets nothing new until it is done, for what goes alone; one at a time."""
        names = (*self._open[model].items, *self._room[model].items)
        if self._emptied is None and names:
            self._emptied = min(names, key=lambda name: self.replicas[name].queue_s)
            self._shut(self.replicas[self._emptied])

    def _reserve(self, model: str) -> None:
        """What is loaded nowhere, since others are in use everywhere, has one replica emptied for it."""
        if model in self._reserved or self._holders[model].items:
            return
        others = self._sent_s - self._since.setdefault(model, self._sent_s)
        if others < PATIENCE * self.models[model].load_s * len(self._placed[model].items):
            return
        drawn = [self.replicas[name] for name in self._placed[model].pair(self.rng)]
        able = [one for one in drawn if self._has_room(one)]
        if able:
            chosen = min(able, key=lambda one: one.queue_s)
            self._shut(chosen)
            chosen.reserved = model
            self._reserved.add(model)

    def _cost(self, request: ClusterRequest, replica: ReplicaState, cached: float) -> float:
        company = replica.company[request.model] + 1
        return self.costs.seconds(request.model, request.units, company) * (1 - READING * cached)

    def _send(self, request: ClusterRequest, replica: ReplicaState, finish: float) -> SentTo:
        loads = request.model not in replica.models
        self._sent_s += request.cost_s
        if loads:
            self.moves += 1
            self._since.pop(request.model, None)
            for gone in replica.load(request.model, self.models[request.model], self._reload_s):
                self._unloaded(replica, gone)
            self._loaded(replica, request.model)
        replica.models.move_to_end(request.model)
        self._came(replica, request)
        request.company = replica.company[request.model]
        self.prefixes.add(replica.name, request.model, request.prefix)
        self.decisions += 1
        return SentTo(request, replica.name, loads, finish)

    def _off(self, request: ClusterRequest) -> ReplicaState | None:
        replica = None if request.replica is None else self.replicas.get(request.replica)
        if replica is not None and request.id in replica.sent:
            self._left(replica, request)
            request.replica = None
        return replica

    def _came(self, replica: ReplicaState, request: ClusterRequest) -> None:
        """A request goes to a replica with room, whose last it may be."""
        replica.sent[request.id] = request
        request.replica, request.plays = replica.name, request.plays + 1
        replica.alone = request.plays > ALONE
        replica.company[request.model] += 1
        replica.queue_s += request.cost_s
        if not self._has_room(replica):
            self._shut(replica)

    def _left(self, replica: ReplicaState, request: ClusterRequest) -> None:
        """It leaves, and may leave room."""
        had = self._has_room(replica)
        del replica.sent[request.id]
        replica.alone = False
        replica.company[request.model] -= 1
        replica.queue_s = max(0.0, replica.queue_s - request.cost_s) if replica.sent else 0.0
        if self._emptied == replica.name and not replica.sent:
            self._emptied = None
        if replica.reserved and replica.can_load(self.models[replica.reserved]):
            self._reserved.discard(replica.reserved)
            replica.reserved = None
        if not had and self._has_room(replica):
            self._reopen(replica)

    def _has_room(self, replica: ReplicaState) -> bool:
        if replica.draining or replica.reserved or replica.alone or replica.name == self._emptied:
            return False
        return replica.queue_s < self.window_s and len(replica.sent) < replica.slots

    def _close(self, replica: ReplicaState) -> None:
        if self._has_room(replica):
            self._shut(replica)

    def _reopen(self, replica: ReplicaState) -> None:
        for model in replica.may_hold:
            if model in replica.models:
                self._open[model].add(replica.name)
            elif self._fits(replica, model):
                self._room[model].add(replica.name)

    def _fits(self, replica: ReplicaState, model: str) -> bool:
        return model in self.models and replica.fits(self.models[model])

    def _shut(self, replica: ReplicaState) -> None:
        for model in replica.may_hold:
            (self._open if model in replica.models else self._room)[model].discard(replica.name)

    def _loaded(self, replica: ReplicaState, model: str) -> None:
        replica.models.setdefault(model, self.models[model].nbytes)
        self._holders[model].add(replica.name)
        if self._has_room(replica):
            self._room[model].discard(replica.name)
            self._open[model].add(replica.name)

    def _unloaded(self, replica: ReplicaState, model: str) -> None:
        self._holders[model].discard(replica.name)
        self.prefixes.drop(replica.name, model)
        if self._has_room(replica):
            self._open[model].discard(replica.name)
            self._room[model].add(replica.name)


def _virtual(first: tuple[float, ClusterRequest]) -> float:
    return first[0]
