"""The `mmgen` command: one file for a group of commands."""
