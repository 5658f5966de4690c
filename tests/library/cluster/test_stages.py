from mmgen.config import RuntimeConfig
from mmgen.library.cluster.stages import StageRates, StageRuntime


def test_every_node_computes_alike() -> None:
    config = StageRuntime.of(RuntimeConfig(precision="measured", threads=7, metrics_port=9100)).config
    assert (config["precision"], config["threads"], config["metrics_port"]) == ("safe", 1, None)


def test_rates_are_by_the_clock() -> None:
    now, stages = [0.0], {}
    rates = StageRates(stages, lambda: now[0])
    now[0] = 2.0
    rates.add({"read": (4, 0.5), "embed": (100, 1.5)})
    now[0] = 4.0
    rates.add({"read": (4, 0.5)})
    assert (stages["read"].items, stages["read"].busy_s, stages["read"].per_s) == (8, 1.0, 2.0)
    assert str(rates) == "read 2/s, embed 25/s"
