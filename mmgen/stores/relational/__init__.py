"""What the stores over SQLite and over PostgreSQL share: the same tables, asked by the same statements."""
