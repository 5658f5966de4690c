"""FLOPs of a pass by hand, energy by a meter, and what is said of a run."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from mmgen.training import run_cost
from mmgen.training.run_cost import EnergyMeter


class Product(nn.Module):
    """(B, 8) -> its sum behind 8 x 4 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4, bias=False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"loss": self.linear(x).sum()}


def test_flops_of_a_pass() -> None:
    """Forward and the gradient of the weights: two products a row, as nothing lies before them."""
    module = Product()
    found = run_cost.flops_per_row(module, torch.ones(3, 8), 3, "loss", lambda loss: loss.backward())
    assert found == 2 * (2 * 8 * 4) and module.linear.weight.grad is None


def test_summary_in_words() -> None:
    told = run_cost.summary(1000, 90.0, 1e6, torch.device("cpu"), "no", {"energy_kwh": 0.0123, "co2_grams": 4.5})
    assert told["flops"] == 1e9 and 0 < told["mfu"] < 1
    assert run_cost.line(told).startswith("1,000 rows in 1.5 minutes, 1.00e+09 FLOPs by the first batch, ")
    assert run_cost.line(told).endswith("; 0.0123 kWh, 4.5 g of CO2")
    del told["energy_kwh"]
    assert run_cost.line(told).endswith("pip install codecarbon")


def test_energy_by_codecarbon(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tracker:
        def __init__(self, **options: object) -> None:
            assert options["country_iso_code"] == "DEU" and options["save_to_file"] is False
            self.final_emissions_data = SimpleNamespace(energy_consumed=0.5, emissions=0.2)

        def start(self) -> None: ...
        def stop(self) -> None: ...

    monkeypatch.setitem(sys.modules, "codecarbon", SimpleNamespace(OfflineEmissionsTracker=Tracker))
    assert EnergyMeter("DEU").stop() == {"energy_kwh": 0.5, "co2_grams": 200.0}
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    assert EnergyMeter().stop() == {}
