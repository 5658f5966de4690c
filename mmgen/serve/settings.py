"""Server settings."""

from __future__ import annotations

from typing import Literal

from pydantic import ByteSize, Field

from mmgen.config import Config, UserPath
from mmgen.serve.cluster.settings import ClusterConfig
from mmgen.serve.engines.settings import EngineAddress


class ServeConfig(Config):
    """Settings of `mmgen serve`, from its options or a YAML file in configs/serve/."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    ssl_certfile: UserPath | None = None  # PEM, with its chain; None: no TLS
    ssl_keyfile: UserPath | None = None  # PEM, without a passphrase; None: in ssl_certfile
    models: tuple[str, ...] = ()  # beside the usual ones: references, or NAME=REFERENCE; a folder goes by its name alone
    cors: tuple[str, ...] = ()  # origins whose pages may call; none
    max_body: ByteSize = Field(default=ByteSize(32 * 2**20), gt=0)  # bytes of a request, or "32 MiB"
    max_requests: int = Field(default=256, ge=1)  # under way at once; more are told to come back
    drain_s: float = Field(default=30.0, ge=0)  # what a shutdown waits for requests under way
    fetch_urls: bool = False  # whether images may be given as URLs, and pages fetched by the assistant; of public addresses
    mcp: tuple[str, ...] = ()  # MCP servers whose tools the assistant may call: URLs, or commands, which are run here
    pull: bool = False  # whether a key with scope engine may have models downloaded (/api/pull)
    keys_file: UserPath | None = None  # YAML, keys that are there from the start; see docs/howto/operate.md
    audit: UserPath | None = None  # a file of JSON lines: who called what, when, with which outcome
    audit_prompts: bool = False  # whether bodies are in it, 64 KiB of each
    audit_size: ByteSize = Field(default=ByteSize(64 * 2**20), gt=0)  # of a file before it is rotated
    audit_files: int = Field(default=10, ge=1)  # that are kept besides
    log_format: Literal["text", "json"] = "text"  # of what is told on stderr
    log_level: Literal["debug", "info", "warning", "error"] = "warning"  # info: a line for each call
    otel: str | None = None  # an OpenTelemetry collector's address for OTLP by HTTP, such as http://localhost:4318
    cluster: ClusterConfig | None = None  # which models live where, with --ray
    devices: tuple[str, ...] = ()  # such as cuda:0 and cuda:1: an engine on each, models placed on them by their size
    engines: dict[str, EngineAddress] = Field(default_factory=dict)  # servers such as vLLM's that answer for their models
    history: bool = True  # whether requests and results are kept
