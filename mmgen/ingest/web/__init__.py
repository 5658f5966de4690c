"""What stands at web addresses."""
