"""Turns of work. Knows jobs and runners; not tokens, pixels or torch."""
