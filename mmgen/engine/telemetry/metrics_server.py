"""Metrics by HTTP, for Prometheus and `mmgen top`, on this machine alone. Knows a port; not what is measured."""

from __future__ import annotations

from mmgen.engine.telemetry.metrics import Metrics
from mmgen.errors import Clash


class MetricsServer:
    """Serves `/metrics` from a thread until it is closed."""

    def __init__(self, metrics: Metrics, port: int) -> None:
        from prometheus_client import start_http_server

        try:
            self._server, self._thread = start_http_server(port, "127.0.0.1", metrics.registry)
        except OSError as why:
            raise Clash(f"metrics port {port} cannot be opened ({why.strerror}); choose another metrics_port") from None
        self.port = self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
