"""What a training run took: rows, FLOPs, the share of the device's speed, and energy where it can be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mmgen.training import throughput

MISSING = "energy is not told: pip install codecarbon"


def flops_per_row(module: nn.Module, batch: Any, rows: float, minimised: str, backward: Callable[[Tensor], None]) -> float:
    """FLOPs of a forward and backward pass over a micro-batch, a row; the gradients are cleared again.

    Counted where torch multiplies: products, convolutions and attention.
    """
    with FlopCounterMode(display=False) as counter:
        backward(module(batch)[minimised])
    for weight in module.parameters():
        weight.grad = None
    return float(counter.get_total_flops() / rows)


class EnergyMeter:
    """codecarbon's offline tracker, where it is installed: counters of processor and GPU, or what it assumes of them."""

    def __init__(self, country: str = "") -> None:
        """`country`: three letters, as in DEU, by whose electricity CO2 is counted; "": the USA's, as codecarbon does."""
        try:
            from codecarbon import OfflineEmissionsTracker
        except ImportError:
            self._tracker = None
            return
        self._tracker = OfflineEmissionsTracker(
            country_iso_code=country or "USA", save_to_file=False, log_level="critical", tracking_mode="process",
            allow_multiple_runs=True,
        )  # fmt: skip
        self._tracker.start()

    def stop(self) -> dict[str, float]:
        """kWh and grams of CO2 since it was made; empty where nothing measures them."""
        if self._tracker is None:
            return {}
        self._tracker.stop()
        told = self._tracker.final_emissions_data
        return {"energy_kwh": float(told.energy_consumed), "co2_grams": 1000 * float(told.emissions)}


def summary(
    rows: int, seconds: float, each: float, device: torch.device, precision: str, energy: dict[str, float]
) -> dict[str, float]:
    """Of a whole run. `each`: FLOPs of a row. Utilization is that of the fastest product that the device computed just now."""
    flops = each * rows
    most = throughput.peak(device, precision)
    return {"rows": rows, "wall_seconds": round(seconds), "flops": flops, "mfu": flops / max(1e-9, seconds) / most, **energy}


def line(told: dict[str, float]) -> str:
    """The summary in words."""
    energy = f"{told['energy_kwh']:.4f} kWh, {told['co2_grams']:.1f} g of CO2" if "energy_kwh" in told else MISSING
    return (
        f"{told['rows']:,.0f} rows in {told['wall_seconds'] / 60:.1f} minutes, {told['flops']:.2e} FLOPs by the first batch, "
        f"{100 * told['mfu']:.0f} % of the device's speed; {energy}"
    )
