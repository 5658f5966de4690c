"""The Images and Image search tabs."""
