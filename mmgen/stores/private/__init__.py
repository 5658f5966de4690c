"""Small private tables, such as those of keys and history: in a file, or shared by machines on a server."""
