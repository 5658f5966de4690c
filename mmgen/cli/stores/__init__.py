"""`mmgen store`."""
