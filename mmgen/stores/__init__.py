"""Storage of documents, passages, images, vectors, history and keys: SQLite and FAISS."""
