"""FLUX.1 Kontext (Black Forest Labs 2025): FLUX.1 with an image's tokens behind the noisy ones, which the prompt changes."""

from __future__ import annotations

from mmgen.models.diffusion.dit.flux import Flux


class FluxKontext(Flux):
    edits = True
