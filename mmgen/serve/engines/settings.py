"""Where the engines are."""

from __future__ import annotations

from pydantic import Field

from mmgen.config import Config


class EngineAddress(Config):
    """A server with OpenAI's API, such as vLLM's or SGLang's, as a replica behind the router."""

    url: str  # of its API, such as http://gpu1:8000/v1
    models: tuple[str, ...] = ()  # that it serves, as it calls them; none: those it lists when this server starts
    key_env: str | None = None  # environment variable that holds the key it asks for
    slots: int = Field(default=64, ge=1)  # requests at once; as many as it batches
