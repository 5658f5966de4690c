"""Keys that are given in a file, as a Secret of Kubernetes mounts one: what stands in it holds, from each start on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, SecretStr

from mmgen.config import Config, load
from mmgen.stores.keys import EVERYDAY, KeyStore
from mmgen.stores.quotas import QuotaStore


class GivenKey(Config):
    """A key that its operator drew: `mm-` and 43 letters, digits, - or _."""

    name: str
    key: SecretStr
    scopes: tuple[str, ...] = EVERYDAY
    stores: tuple[str, ...] | None = None
    weight: float = 1.0
    rate: str | None = None
    quota: float | None = Field(default=None, gt=0)  # device-seconds a day


class KeysFile(Config):
    """All of them."""

    keys: tuple[GivenKey, ...]


def apply(path: Path, keys: KeyStore, quotas: QuotaStore) -> int:
    """Creates and changes the keys of a YAML file, and revokes what an earlier one gave and this does not -> their number.

    Keys that were made otherwise stay. Raises NotFound, ConfigError, or BadRequest for a key of another form.
    """
    given = load(path, KeysFile).keys
    names = list(_applied(given, keys, quotas))
    keys.keep_given(names)
    return len(names)


def _applied(given: tuple[GivenKey, ...], keys: KeyStore, quotas: QuotaStore) -> Iterator[str]:
    for one in given:
        keys.put(one.name, one.key.get_secret_value(), one.weight, one.rate, one.scopes, one.stores)
        quotas.set(one.name, one.quota)
        yield one.name
