"""What clients send, before anything understands it: heads and bodies within bounds of size, time, count and depth."""
