"""Questions that lean on the conversation before them, rewritten by rule so that they stand alone. English."""
