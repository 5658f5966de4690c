"""How many compiled primitives oneDNN keeps. Knows the environment; not torch, which reads it when the first one is made."""

from __future__ import annotations

from collections.abc import MutableMapping

MOST = 512
"""Of one size each: a product of another number of rows is another one, with 0.5 MiB of code; a convolution has 0.05 MiB.

oneDNN and torch's layer over it each keep 1,024 by default, which texts of all lengths fill with 0.5 GiB. A UNet's pass has a
hundred for each size of its batch. One that was dropped is compiled anew in 0.2 to 0.5 ms.
"""


def limit(environment: MutableMapping[str, str]) -> None:
    """What the environment says already stays."""
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):  # oneDNN's own, and torch's
        environment.setdefault(name, str(MOST))
