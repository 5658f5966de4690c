"""Modules without first values, for weights that come from a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

WHOLE = (nn.init.normal_, nn.init.uniform_, nn.init.trunc_normal_, nn.init.kaiming_uniform_, nn.init.kaiming_normal_)
DRAWS = {torch.Tensor.normal_, torch.Tensor.uniform_, *WHOLE, nn.init.xavier_uniform_, nn.init.xavier_normal_}
"""Those of nn.init come as one call, inside of which nothing is heard of any more."""


class without_init(TorchFunctionMode):  # noqa: N801  used like a function
    """Inside, weights are allocated in `dtype` and not drawn: half a billion take no time instead of seconds.

    In this thread only.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(
        self, function: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is torch.empty or function is torch.randn:
            return torch.empty(*args, **{**kwargs, "dtype": kwargs.get("dtype") or self.dtype})
        if function in DRAWS:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)
