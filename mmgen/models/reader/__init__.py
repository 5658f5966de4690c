"""The grounded reader: answers are spans of the passages."""
