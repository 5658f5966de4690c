"""What fits: ledger, admission, model pool and out-of-memory limits."""
