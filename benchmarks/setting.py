"""What a benchmark prints first: the processor, its instructions, the threads, and in which precision models run."""

import torch

from mmgen.models.tuning import machine


def setting(**precisions: str) -> str:
    """`precisions`: of each side, as in `mmgen="bf16"`."""
    flags = " ".join(machine.flags()) or "instructions unknown"
    sides = ", ".join(f"{side.replace('_', ' ')} in {precision}" for side, precision in precisions.items())
    return f"{machine.processor()} ({flags}), torch {torch.__version__}, {torch.get_num_threads()} threads; {sides}"
