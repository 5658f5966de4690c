"""Extraction in a worker process, with limits of time, memory and output for each document."""
