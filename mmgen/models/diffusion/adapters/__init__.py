"""Adapters of image models: LoRA and its kin, a file's tensors to what each row of a batch adds to a network's layers."""
