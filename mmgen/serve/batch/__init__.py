"""Batches: files of requests that are answered when the device has nothing better to do."""
