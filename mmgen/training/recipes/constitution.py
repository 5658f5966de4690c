"""Constitutional AI (Bai et al. 2022): revisions are learned (SL-CAI), then what a judge prefers (RLAIF, by DPO).

Every stage writes its result to `out` when it is whole; a run that was stopped goes on with the first that is missing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from mmgen import hub
from mmgen.config import Config, load
from mmgen.errors import BadRequest, UnreadableFile
from mmgen.runtime import Runtime
from mmgen.training import checkpoint, model_merging
from mmgen.training.data import text_files
from mmgen.training.data.constitution import Constitution, answered, judged, revised
from mmgen.training.recipes import dpo, finetuning, sft
from mmgen.training.recipes.dpo import DPORecipe
from mmgen.training.recipes.sft import SFTRecipe, split

log = logging.getLogger(__name__)


class ConstitutionRecipe(Config):
    """configs/train/constitution.yaml"""

    base: str  # a model reference
    judge: str = ""  # the one that judges; "": the base
    constitution: Path
    data: Path | None = None  # JSON lines of prompts
    out: Path = Path("runs/constitution")
    max_tokens: int = Field(default=96, ge=1)  # of an answer, critique or revision
    temperature: float = Field(default=1.0, gt=0)  # of what it learns from; it is measured at 0
    held_out: float = Field(default=0.2, ge=0, lt=1)  # share of the prompts, the last ones, that measure it
    sft: dict[str, Any] = Field(default_factory=dict)  # of SFTRecipe
    dpo: dict[str, Any] = Field(default_factory=dict)  # of DPORecipe


class ConstitutionRun:
    """The stages, in order."""

    def __init__(self, recipe: ConstitutionRecipe) -> None:
        self.recipe, self.constitution = recipe, load(recipe.constitution, Constitution)
        rows = [
            (row, f"{path}, row {n}")
            for path in text_files.files(recipe.data)
            for n, row in enumerate(text_files.rows(path), 1)
        ]
        train, self.held_out = split([_prompt(row, where) for row, where in rows], recipe.held_out)
        self.prompts = [prompt for prompt, _ in train]
        if not self.prompts:
            raise BadRequest(f"{recipe.data} holds no prompts; give JSON lines with one each")
        self.revised, self.final = recipe.out / "revised", recipe.out / "model"
        recipe.out.mkdir(parents=True, exist_ok=True)

    def revisions(self) -> Path:
        """Conversations with revised answers."""
        path, base = self.recipe.out / "revisions.jsonl", self.recipe.base
        if not path.is_file():
            with Runtime() as rt:
                found = revised(rt.text(base), self.constitution, self.prompts, self.recipe.max_tokens, self.recipe.temperature)
            rows = [
                {"prompt": one.prompt, "response": one.revision, "answer": one.answer, "critique": one.critique}
                for one in found
                if one.revision and one.revision != one.answer
            ]
            if not rows:
                raise BadRequest(f"{base} revised none of {len(found)} answers; take a larger model, or other principles")
            _write(path, rows)
            log.warning("%d of %d answers were revised", len(rows), len(found))
        return path

    def pairs(self) -> Path:
        """Two answers to each prompt by the model that learned the revisions, the preferred one as chosen."""
        path, recipe, judge = self.recipe.out / "pairs.jsonl", self.recipe, self.recipe.judge or self.recipe.base
        if not path.is_file():
            with Runtime() as rt:
                writer = rt.text(str(self.revised))
                twice = [prompt for prompt in self.prompts for _ in range(2)]
                answers = answered(writer, twice, recipe.max_tokens, recipe.temperature)
                both = list(zip(answers[::2], answers[1::2], strict=True))
                found = judged(rt.text(judge), self.constitution, self.prompts, both)
            rows = []
            for one in found:
                if one.preferred is not None and one.answers[0] != one.answers[1]:
                    chosen, rejected = one.answers if one.preferred == 0 else one.answers[::-1]
                    rows.append({"prompt": one.prompt, "chosen": chosen, "rejected": rejected})
            if not rows:
                raise BadRequest(f"{judge} preferred none of {len(found)} pairs in both orders; take a larger judge")
            _write(path, rows)
            log.warning("%d of %d pairs were judged alike in both orders", len(rows), len(found))
        return path

    def merged(self, base: str, tuned: Path, out: Path) -> None:
        """What was tuned, a model or an adapter of `base`, as a model."""
        if not out.is_dir():
            made = model_merging.merge(base, [str(tuned)], "task-arithmetic", [1.0])
            checkpoint.replaced(out, lambda folder: finetuning.save_model(made, hub.resolve(self.recipe.base), folder))

    def measured(self) -> dict[str, dict[str, float]]:
        """Of each stage's model: the share of held-out answers in which the principles' rules find what they look for.

        "kept": of prompts where they should, "elsewhere": of those whose rows say `"check": false`.
        """
        path = self.recipe.out / "measured.json"
        if not path.is_file() and self.held_out:
            told, prompts = {}, [prompt for prompt, _ in self.held_out]
            with Runtime() as rt:
                for name, model in (("before", self.recipe.base), ("revised", str(self.revised)), ("after", str(self.final))):
                    answers = answered(rt.text(model), prompts, self.recipe.max_tokens, 0.0)
                    kept = [self.constitution.of(number).holds(answer) for number, answer in enumerate(answers)]
                    told[name] = _shares(kept, [checked for _, checked in self.held_out])
                    rows = [{"prompt": p, "answer": a, "kept": k} for p, a, k in zip(prompts, answers, kept, strict=True)]
                    _write(self.recipe.out / f"answers-{name}.jsonl", rows)
            path.write_text(json.dumps(told, indent=2) + "\n")
        found: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.is_file() else {}
        return found


def _shares(kept: Sequence[bool], checked: Sequence[bool]) -> dict[str, float]:
    found = {}
    for name, wanted in (("kept", True), ("elsewhere", False)):
        some = [one for one, kind in zip(kept, checked, strict=True) if kind == wanted]
        if some:
            found[name] = sum(some) / len(some)
    return found


def _prompt(row: Mapping[str, Any], where: str) -> tuple[str, bool]:
    """And whether an answer to it should be as the rules look for."""
    if not isinstance(row.get("prompt"), str) or not row["prompt"].strip():
        raise UnreadableFile(f"{where}: prompt should be a text")
    return str(row["prompt"]), row.get("check") is not False


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Whole, or not at all."""
    fresh = path.with_name(f".{path.name}.part")
    fresh.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    fresh.replace(path)


def train(recipe: ConstitutionRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all stages are done. `out/model`: a model. `stop_after_minutes` counts for each training."""
    run, out = ConstitutionRun(recipe), recipe.out
    first = SFTRecipe(**{**recipe.sft, "base": recipe.base, "data": run.revisions(), "out": out / "sft"})
    if not run.revised.is_dir() and not sft.train(first, stop_after_minutes=stop_after_minutes):
        return False
    run.merged(recipe.base, out / "sft" / "model", run.revised)
    second = DPORecipe(**{**recipe.dpo, "base": str(run.revised), "data": run.pairs(), "out": out / "dpo"})
    if not run.final.is_dir() and not dpo.train(second, stop_after_minutes=stop_after_minutes):
        return False
    run.merged(str(run.revised), out / "dpo" / "model", run.final)
    for name, shares in run.measured().items():
        told = ", and of those where they should not in ".join(f"{100 * share:.0f} %" for share in shares.values())
        log.warning("%s: the principles' rules hold of held-out answers in %s", name, told)
    return True
