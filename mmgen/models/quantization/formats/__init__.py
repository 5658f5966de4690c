"""How other programs store rounded weights: AWQ, GPTQ, compressed-tensors, FP8, bitsandbytes, MXFP4, MLX."""
