"""Where documents, passages and vectors live. Knows SQLite and FAISS; not models or files to ingest."""
