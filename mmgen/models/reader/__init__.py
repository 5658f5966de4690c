"""The grounded reader: extractive question answering, answers are spans of the passages."""
