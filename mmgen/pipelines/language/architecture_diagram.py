"""A language model's blocks as a drawing (SVG), from the input at the bottom to the logits at the top."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mmgen.models.transformer_config import TransformerConfig

WIDTH, BOX, GAP = 420, 34, 12
BLUE = "#3b6ef6"
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" \
font-family="system-ui, sans-serif"><defs><marker id="tip" markerWidth="6" markerHeight="6" refX="5" refY="3" orient="auto">\
<path d="M0 0 6 3 0 6z" fill="#64748b"/></marker></defs><rect width="100%" height="100%" fill="white"/>
<text x="{middle}" y="26" font-size="15" text-anchor="middle" font-weight="600">{title}</text>
{drawn}
</svg>
"""


def diagram(config: TransformerConfig, title: str) -> str:
    """The SVG of a decoder; layers that differ, such as those with a window, are told in the box of the blocks."""
    heads = f"{config.heads} heads of {config.head_size}"
    if config.kv_heads != config.heads:
        heads += f", {config.kv_heads} of keys and values"
    wide = f"{config.hidden_size:,} → {config.intermediate_size:,} → {config.hidden_size:,}"
    gate = f"{config.activation}, gated" if config.gated else config.activation
    experts = sum(config.mixes(layer) for layer in range(config.layers))
    feed = f"feed forward {wide}, {gate}" if experts < config.layers else f"{config.experts} experts, {gate}"
    inside = _sublayers(config, f"attention: {heads}", feed)
    kinds = _kinds(config)
    rows = [f"words: {config.vocab_size:,} x {config.hidden_size:,}", *inside, *(["norm"] if config.norm_at != "post" else [])]
    rows.append(f"head: {config.vocab_size:,} logits" + (", tied to the words" if config.tied else ""))
    height = len(rows) * (BOX + GAP) + 72
    drawn, y = [], height - 24 - BOX
    for number, row in enumerate(rows):
        repeated = 0 < number <= len(inside)
        drawn.append(_box(row, y, "#e8eefc" if repeated else "#f4f4f5"))
        if number + 1 < len(rows):
            drawn.append(f'<path d="M{WIDTH // 2} {y} v-{GAP}" stroke="#64748b" marker-end="url(#tip)"/>')
        y -= BOX + GAP
    top, size = height - 24 - BOX - len(inside) * (BOX + GAP) - 5, len(inside) * (BOX + GAP) - GAP + 10
    drawn.append(
        f'<rect x="30" y="{top}" width="{WIDTH - 60}" height="{size}" rx="8" fill="none" stroke="{BLUE}"/>'
        f'<text x="0" y="0" font-size="13" fill="{BLUE}" text-anchor="middle" '
        f'transform="translate(20 {top + size // 2}) rotate(-90)">'
        f"{escape(kinds)}</text>"
    )
    return SVG.format(width=WIDTH, middle=WIDTH // 2, height=height, title=escape(title), drawn="".join(drawn))


def _sublayers(config: TransformerConfig, attention: str, feed: str) -> list[str]:
    """Of a block, from its input up."""
    if config.parallel:
        return ["norm", f"{attention}", f"+ beside it: {feed}"]
    if config.norm_at == "post":
        return [attention, "+ input, norm", feed, "+ input, norm"]
    if config.norm_at == "after":
        return [attention, "norm, + input", feed, "norm, + input"]
    if config.norm_at == "both":
        return ["norm", attention, "norm, + input", "norm", feed, "norm, + input"]
    return ["norm", attention, "+ input", "norm", feed, "+ input"]


def _kinds(config: TransformerConfig) -> str:
    """How often the block is repeated, and in which kinds."""
    layers = range(config.layers)
    told = [f"{config.layers} times"]
    counts: Sequence[tuple[str, int]] = (
        ("recurrent", sum(config.recurs(layer) for layer in layers)),
        ("with a window", sum(config.window_of(layer) is not None for layer in layers)),
        ("of experts", sum(config.mixes(layer) for layer in layers)),
    )
    return ", ".join([*told, *(f"{count} {kind}" for kind, count in counts if count > 0)])


def _box(text: str, y: float, fill: str) -> str:
    return (
        f'<rect x="44" y="{y}" width="{WIDTH - 88}" height="{BOX}" rx="6" fill="{fill}" stroke="#94a3b8"/>'
        f'<text x="{WIDTH // 2}" y="{y + 22}" font-size="13" text-anchor="middle">{escape(text)}</text>'
    )
