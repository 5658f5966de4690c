"""Many engines behind one router: who goes where, and how a request survives its replica. Knows no torch; Ray by one module."""
