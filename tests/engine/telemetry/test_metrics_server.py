import socket
from urllib.request import urlopen

import pytest

from mmgen.engine.engine import Engine
from mmgen.engine.telemetry.metrics_server import MetricsServer
from mmgen.errors import Clash


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_metrics_by_http_until_it_is_closed() -> None:
    with Engine({}) as engine:
        engine.call(lambda: None)
        exporter = MetricsServer(engine.metrics, free_port())
        with urlopen(f"http://127.0.0.1:{exporter.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        assert 'mmgen_quantum_milliseconds_count{runner="call"} 1.0' in text
        with pytest.raises(Clash, match=rf"metrics port {exporter.port} cannot be opened \(.*\); choose another metrics_port"):
            MetricsServer(engine.metrics, exporter.port)
        exporter.close()
        with pytest.raises(OSError, match="refused"):
            urlopen(f"http://127.0.0.1:{exporter.port}/metrics", timeout=10)
