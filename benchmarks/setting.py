"""What a benchmark prints first: the processor, its instructions, the threads, and in which precision models run."""

from collections.abc import Sequence

import torch

from mmgen.config import RuntimeConfig
from mmgen.models.tuning import machine
from mmgen.runtime import Runtime


def setting(**precisions: str) -> str:
    """`precisions`: of each side, as in `mmgen="bf16"`."""
    flags = " ".join(machine.flags()) or "instructions unknown"
    sides = ", ".join(f"{side.replace('_', ' ')} in {precision}" for side, precision in precisions.items())
    return f"{machine.processor()} ({flags}), torch {torch.__version__}, {torch.get_num_threads()} threads; {sides}"


def settled(references: Sequence[str], device: str = "cpu", measure: bool = True) -> dict[str, str]:
    """The precision that this home has chosen for each model; where it was not settled, by measuring now, as `mmgen tune` does.

    `references`: of encoders, denoisers and text models, which are loaded. `measure` False: as long as a first load does.
    Empty: a model has its own precision alone.
    """
    from mmgen import hub

    kinds = {one.reference: one.kind for one in hub.models()}
    for thorough in (False, True) if measure else (False,):
        with Runtime(RuntimeConfig(device=device)) as rt:
            rt.host.tuner.thorough = thorough
            opens = {"encoder": rt.encoder, "denoiser": rt.denoiser, "text": rt.text}
            for reference in references:
                opens[kinds.get(reference) or hub.kind_of(hub.resolve(reference))](reference)
            found = {reference: rt.host.precisions.get(reference, "") for reference in references}
            if all(one.settled for one in rt.host.tuner.made):
                break
    return found
