"""One file a resource of the HTTP API, with its schemas beside it."""
