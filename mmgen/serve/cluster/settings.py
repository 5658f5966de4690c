"""Which models live where, and how many replicas there are."""

from __future__ import annotations

from pydantic import ByteSize, Field, model_validator

from mmgen.config import Config
from mmgen.errors import BadRequest


class ReplicaGroup(Config):
    """Replicas that are alike: an engine each, on a device of its own."""

    models: tuple[str, ...] = ()  # references that these replicas may hold; none: all that the server knows
    min: int = Field(default=1, ge=0)  # replicas, at least
    max: int = Field(default=1, ge=1)  # ... and while much waits
    cpus: float = Field(default=1.0, ge=0)  # that Ray keeps for each
    gpus: float = Field(default=0.0, ge=0)
    memory: ByteSize | None = None  # of the device, for models; None: no limit
    slots: int = Field(default=64, ge=1)  # requests at once in each

    @model_validator(mode="after")
    def _ordered(self) -> ReplicaGroup:
        if self.min > self.max:
            raise ValueError(f"min is {self.min}, above max {self.max}")
        return self


class ClusterConfig(Config):
    """`cluster:` of the settings file of `mmgen serve`."""

    replicas: dict[str, ReplicaGroup] = Field(default_factory=lambda: {"engine": ReplicaGroup()})
    window_s: float = Field(default=2.0, gt=0)  # predicted seconds of work that a replica has at once; the rest waits
    grow_s: float = Field(default=8.0, gt=0)  # predicted seconds of work by the replica above which one more is started
    shrink_s: float = Field(default=1.0, ge=0)  # ... and below which one is stopped, after `idle_s`
    idle_s: float = Field(default=120.0, ge=0)
    silent_s: float = Field(default=60.0, gt=0)  # without an answer after which a replica counts as dead
    starts: int = Field(default=3, ge=1)  # replicas that may die in a row, none of which answered anything; then no more start
    drain_s: float = Field(default=30.0, ge=0)  # that a replica has to answer what it has when an update replaces it
    start_s: float = Field(default=600.0, gt=0)  # that a replica may take to start

    def named(self) -> dict[str, ReplicaGroup]:
        """Raises BadRequest where there are none."""
        if not self.replicas:
            raise BadRequest("cluster.replicas is empty; name at least one group, such as engine: {max: 2}")
        return dict(self.replicas)
