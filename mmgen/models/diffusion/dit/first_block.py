"""What a transformer's first block, or a UNet's first residual block, adds to its input: little new there means little new in
the whole output.

Of first-block caching (chengzeyi's ParaAttention) and TeaCache (Liu et al. 2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from mmgen.errors import BadRequest

LISTS = ("transformer_blocks", "layers", "blocks")
"""How diffusers' transformers call their blocks."""


def _first(network: Any) -> nn.Module | None:
    """None: there is none."""
    lists = [getattr(network, one) for one in LISTS if isinstance(getattr(network, one, None), nn.ModuleList)]
    if not lists and hasattr(network, "down_blocks"):
        lists = [getattr(network.down_blocks[0], "resnets", ())]
    return lists[0][0] if lists and len(lists[0]) else None


class Stopped(Exception):
    """The first block is done; nothing behind it is computed."""


class FirstBlock:
    """The first block of a network, watched on demand."""

    def __init__(self, network: nn.Module, name: str = "") -> None:
        """Raises BadRequest where no block is known."""
        self.residual: Tensor | None = None
        self._watched = False
        block = _first(network)
        if block is None:
            raise BadRequest(f"step_cache is for networks with a list of blocks, which {name} is not; leave it out")
        block.register_forward_hook(self._behind, with_kwargs=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Inside, a pass ends behind the first block, whose residual, (B, tokens, width) or (B, C, h, w), is in `residual`."""
        self._watched, self.residual = True, None
        try:
            yield
        except Stopped:
            pass
        finally:
            self._watched = False

    def _behind(self, block: nn.Module, given: tuple[Any, ...], named: dict[str, Any], out: Any) -> None:
        if not self._watched:
            return
        x: Tensor = named["hidden_states"] if "hidden_states" in named else given[0]
        after = next(one for one in (out if isinstance(out, tuple) else (out,))[::-1] if one.shape == x.shape)
        self.residual = (after - x).float()
        raise Stopped
