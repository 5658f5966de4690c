"""Adding to a store with the nodes of a Ray cluster: they read, split and embed; this process lists and writes."""
