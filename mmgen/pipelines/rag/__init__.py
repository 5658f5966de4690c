"""What the retrieval-augmented pipelines share."""
