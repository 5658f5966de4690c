"""A store with its encoders: documents and images indexed and searched."""
