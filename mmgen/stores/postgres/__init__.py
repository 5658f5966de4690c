"""Stores on a PostgreSQL server, which several machines share. Needs `mmgen[postgres]`; nothing else imports this room."""
