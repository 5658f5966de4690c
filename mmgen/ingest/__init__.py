"""Files to documents, documents to passages. Knows formats and offsets; not vectors, stores or torch."""
