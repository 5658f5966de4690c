"""What a store has learned from feedback, put on the models that answer from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmgen.clients.reader import ReaderClient
    from mmgen.interfaces import Store


def adapted(reader: ReaderClient, store: Store, base: bool = False) -> tuple[ReaderClient, dict[str, str], str]:
    """The reader with the store's adapter, the adapter's name by the reader's reference, and what is to be told: that there is
    one which was trained for another reader. `base`: without it.

    Raises BadWeights for an adapter that cannot be read.
    """
    kept = getattr(store, "adapters", None)
    found = None if base or kept is None or not getattr(reader, "adaptable", False) else kept.get("reader")
    if found is None or found.base != reader.base:
        return reader, {}, ""
    if found.base_digest != reader.digest:
        return reader, {}, (
            f"the store's adapter {found.name} was trained for other weights of {found.base} and is left out; "
            "train it anew: mmgen rag learn"
        )  # fmt: skip
    return reader.adapted(found.weights), {reader.reference: found.name}, ""
