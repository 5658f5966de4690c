"""Engines behind the router without Ray: other devices of this machine, and servers such as vLLM's."""
