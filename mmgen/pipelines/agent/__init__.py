"""The assistant's parts: its tools, which of them a request needs, their arguments, and what others' text may do."""
