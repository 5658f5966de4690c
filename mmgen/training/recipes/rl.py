"""Reinforcement learning of a language model from rewards: GRPO, RLOO and PPO."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mmgen import hub
from mmgen.errors import BadRequest, UnreadableFile
from mmgen.models.lm.reward_model import RewardHead
from mmgen.models.lm.text_model import TextModel
from mmgen.runtime import Runtime
from mmgen.text_params import MAX_SEQUENCES, TextParams
from mmgen.training import checkpoint, loop, mixed_precision, optimizers
from mmgen.training.data import text_files
from mmgen.training.data.chat_data import sample_examples
from mmgen.training.loop import TaskHooks
from mmgen.training.recipes.finetuning import TunedModel, TuningRecipe, load_base, max_conversation_tokens, tune
from mmgen.training.recipes.sft import split
from mmgen.training.rl import tasks
from mmgen.training.rl.advantages import generalized, group_relative, leave_one_out, whitened
from mmgen.training.rl.measured import Measured
from mmgen.training.rl.policy_loss import Algorithm, LossRules, policy_loss, value_loss
from mmgen.training.rl.rewards import RewardConfig, RewardedAnswer, Rewards
from mmgen.training.rl.rollout_batch import RolloutBatch, RolloutFiles
from mmgen.training.rl.rollouts import Rollouts
from mmgen.training.rl.tasks import TaskConfig
from mmgen.training.run_log import RunLog
from mmgen.training.shared_prompts import ROUNDED, SharedPrompts

log = logging.getLogger(__name__)
CONSTANT = 3
"""Steps without any difference between rewards after which it is told that nothing is learned."""
NOTED = 5
"""Steps to a line of metrics.jsonl: each takes seconds."""
SHOWN = 8
"""Held-out answers that are written to samples.jsonl."""


class RLRecipe(TuningRecipe):
    """configs/train/rl.yaml; `batch` counts prompts, `together` answers"""

    task: TaskConfig | None = None  # prompts that are made, with parts of their own in place of `held_out`
    algorithm: Algorithm = "grpo"
    rewards: list[RewardConfig] = Field(default_factory=list)
    answers: int = Field(default=8, ge=1, le=MAX_SEQUENCES)  # to each prompt
    max_tokens: int = Field(default=64, ge=1)  # of an answer
    temperature: float = Field(default=1.0, gt=0)
    system: str = ""  # said before every prompt
    sampler: Literal["fp32", "bf16"] = "fp32"  # of the blocks' products when answers are drawn on a CPU
    beta: float = Field(default=0.02, ge=0)  # weight of the KL divergence to the base model; 0: none
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float = Field(default=0.2, gt=0)
    iterations: int = Field(default=1, ge=1)  # optimizer steps with the same answers
    scaled: bool = True  # grpo: advantages are divided by the standard deviation of a prompt's rewards
    mean: Literal["answer", "token"] = "answer"  # grpo: what the loss is a mean over
    discount: float = Field(default=1.0, gt=0, le=1)  # ppo
    decay: float = Field(default=0.95, ge=0, le=1)  # ppo: lambda of GAE
    value_weight: float = Field(default=0.1, ge=0)  # ppo: of the value loss
    value_clip: float = Field(default=0.2, gt=0)  # ppo

    def rules(self) -> LossRules:
        return LossRules(self.algorithm, self.beta, self.clip_low, self.clip_high, self.mean == "token")


@dataclass(frozen=True)
class TrainingPrompt:
    """A row of the data, ready to be answered."""

    ids: list[int]
    messages: list[dict[str, str]]
    row: Mapping[str, Any]


class PolicyLoss(nn.Module):
    """The policy's loss, and with PPO the value head's."""

    def __init__(self, model: TextModel, tuned: TunedModel, recipe: RLRecipe) -> None:
        super().__init__()
        self.lm, self.tuned, self.recipe, self.learned = model.lm, tuned, recipe, tuned.learned()
        ppo = recipe.algorithm == "ppo"
        self.value_head = RewardHead(model.lm.config.hidden_size, ["value"]).to(model.device) if ppo else None

    def forward(self, batch: RolloutBatch) -> dict[str, Tensor]:
        recipe, mask = self.recipe, batch.mask
        now, values = self.read(batch)
        before = batch.before if recipe.iterations > 1 else now.detach()
        reference = batch.reference if recipe.beta else None
        losses = policy_loss(now, before, reference, batch.advantages, mask, recipe.rules(), batch.tokens)
        if values is not None:
            error = value_loss(values, batch.values, batch.returns, mask, recipe.value_clip, batch.tokens)
            losses |= {"loss": losses["loss"] + recipe.value_weight * error, "value": error.detach()}
        return losses | {"reward": batch.rewards.mean(), "answer_tokens": mask.sum(1).float().mean()}

    def read(self, batch: RolloutBatch, tuned: bool = True) -> tuple[Tensor, Tensor | None]:
        """(B, N) log-probabilities of the answers' tokens at the recipe's temperature, elsewhere 0; and values with PPO.

        `tuned` False: by the base model.
        """
        shared, mask = SharedPrompts.of(batch.ids, batch.targets), batch.mask
        count, more = len(shared.wanted), (0, -len(shared.wanted) % ROUNDED)
        hidden = self.tuned.hidden(shared.ids, tuned=tuned, shared=shared)[0, F.pad(shared.wanted, more)]  # (W and more, D)
        logits = self.lm.logits(hidden).float() / self.recipe.temperature
        chosen = logits.log_softmax(-1).gather(1, F.pad(batch.targets[mask], more)[:, None])[:count, 0]
        found = torch.zeros(mask.shape, device=chosen.device)
        if self.value_head is None or not tuned:
            return found.masked_scatter(mask, chosen), None
        return found.masked_scatter(mask, chosen), found.masked_scatter(mask, self.value_head(hidden)[:count, 0].float())


class RLRun(TaskHooks):
    """The `Task` of the loop. Answers are drawn when a step needs them, and kept for the steps that learn from them."""

    ylabel = "reward"
    plotted: tuple[str, ...] = ("reward", "validation_reward")
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: RLRecipe, rt: Runtime, device: torch.device | str = "cpu") -> None:
        if recipe.tuning.kind == "prefix":
            raise BadRequest("tuning is prefix; reinforcement learning tunes all weights (full) or an adapter (lora)")
        if recipe.algorithm != "ppo" and recipe.answers < 2:
            raise BadRequest(f"answers is {recipe.answers}; {recipe.algorithm} compares at least 2 answers of a prompt")
        self.recipe = recipe
        self.text = load_base(recipe, device)
        self.rewards = Rewards(recipe.rewards, rt)
        self.train, self.held_out, self.tested = self._parts_of_data()
        recipe.out.mkdir(parents=True, exist_ok=True)
        self.files = RolloutFiles(recipe.out)
        self.rollouts = Rollouts(rt, self.text, hub.resolve(recipe.base), recipe.base, recipe.sampler)
        self.tuned = tune(recipe, self.text, frozen=recipe.beta > 0)
        self.loss = PolicyLoss(self.text, self.tuned, recipe)
        learned = {"tuned": self.tuned.learned()}
        self.model = nn.ModuleDict(learned if self.loss.value_head is None else {**learned, "value": self.loss.value_head})
        self.optimizer = optimizers.adamw(self.model, weight_decay=recipe.weight_decay, betas=recipe.betas)
        self.drawn: tuple[int, RolloutBatch] | None = None  # and the step that drew them
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext  # of passes that are only read
        self.constant = 0  # steps in a row without differences between rewards

    def _parts_of_data(self) -> tuple[list[TrainingPrompt], list[TrainingPrompt], list[TrainingPrompt]]:
        """To learn from, to choose weights by, and to measure them on."""
        recipe = self.recipe
        if recipe.task is not None:
            made = tasks.rows(recipe.task, recipe.seed, recipe.data)
            parts = ((name, getattr(made, name)) for name in ("train", "held_out", "tested"))
            train, held_out, tested = (self._prompts([(row, f"{name}, row {n}") for n, row in enumerate(rows, 1)], name)
                                       for name, rows in parts)  # fmt: skip
            return train, held_out, tested
        rows = [
            (row, f"{path}, row {number}")
            for path in text_files.files(recipe.data)
            for number, row in enumerate(text_files.rows(path), 1)
        ]
        return *split(self._prompts(rows, "train"), recipe.held_out), []

    def _prompts(self, rows: Sequence[tuple[Mapping[str, Any], str]], name: str) -> list[TrainingPrompt]:
        """Those that leave place for an answer, of rows and where each stands."""
        recipe, found = self.recipe, list[TrainingPrompt]()
        most = max_conversation_tokens(recipe, self.text) - recipe.max_tokens
        for row, where in rows:
            prompt = row.get("prompt")
            messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
            if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
                raise UnreadableFile(f"{where}: prompt should be a text or messages")
            messages = [*([{"role": "system", "content": recipe.system}] if recipe.system else []), *messages]
            ids = self.text.encode_chat(messages)
            if len(ids) <= most:
                found.append(TrainingPrompt(ids, messages, row))
        if not found and name == "train":
            raise BadRequest(f"none of {len(rows)} prompts leaves place for {recipe.max_tokens} tokens; check the data")
        return found

    def parts(self, step: int, process: int, processes: int) -> list[tuple[RolloutBatch, float]]:
        first = step - step % self.recipe.iterations
        if self.drawn is None or self.drawn[0] != first:
            self.drawn = (first, self._draw(first, process, processes))
        whole = self.drawn[1]
        return [(part, len(part.ids) / len(whole.ids)) for part in whole.parts(self.recipe.together)]

    def _draw(self, step: int, process: int, processes: int) -> RolloutBatch:
        """Answers of the policy as it is now, with everything that they teach."""
        recipe = self.recipe
        several = recipe.iterations > 1
        if several and (kept := self.files.read(step)) is not None:
            return kept
        numbers = recipe.numbers(step // recipe.iterations, process, processes)
        answers, rows = self._answers(sample_examples(self.train, numbers, recipe.seed), recipe.answers, f"{step}/{process}")
        rewards, _ = self.rewards(answers)
        self._watch(answers, rewards)
        batch = self._advantages(self._read(RolloutBatch.of(rows, rewards)))
        if several:
            self.files.keep(step, batch)
        return batch

    def _answers(
        self, prompts: Sequence[TrainingPrompt], count: int, seed: str, temperature: float | None = None
    ) -> tuple[list[RewardedAnswer], list[tuple[list[int], list[int]]]]:
        """Answers, so many to each prompt, and the ids of each with its prompt's. The same seed gives the same.

        `temperature`: None: the recipe's.
        """
        recipe = self.recipe
        warmth = recipe.temperature if temperature is None else temperature
        params = TextParams(max_tokens=recipe.max_tokens, temperature=warmth, n=count)
        self.rollouts.refresh(self.text.lm)
        number = random.Random(f"{recipe.seed}/{seed}").getrandbits(31)
        results = self.rollouts.draw([prompt.ids for prompt in prompts], params, number)
        answers, rows = list[RewardedAnswer](), list[tuple[list[int], list[int]]]()
        for prompt, result in zip(prompts, results, strict=True):
            for text in result.texts:
                answers.append(RewardedAnswer(prompt.messages, text.text, prompt.row, text.finish_reason == "stop"))
                rows.append((prompt.ids, list(text.ids)))
        return answers, rows

    @torch.no_grad()
    def _read(self, batch: RolloutBatch) -> RolloutBatch:
        """With what the policy and the base model think of its tokens, as far as that is needed."""
        recipe, before, reference, values = self.recipe, list[Tensor](), list[Tensor](), list[Tensor]()
        for part in batch.parts(recipe.together):
            part = part.to(self.text.device)
            with self.autocast():
                if recipe.algorithm != "grpo" or recipe.iterations > 1:
                    now, expected = self.loss.read(part)
                    before.append(now)
                    values += [] if expected is None else [expected]
                if recipe.beta:
                    reference.append(self.loss.read(part, tuned=False)[0])
        found = {"before": before, "reference": reference, "values": values}
        known: dict[str, Any] = {name: torch.cat(some).cpu() for name, some in found.items() if some}
        return replace(batch, **known)

    def _advantages(self, batch: RolloutBatch) -> RolloutBatch:
        """With its advantages, and the returns of PPO."""
        recipe, mask = self.recipe, batch.mask
        rewards = batch.rewards.view(-1, recipe.answers)
        if recipe.algorithm == "grpo":
            return replace(batch, advantages=group_relative(rewards, recipe.scaled).reshape(-1, 1) * mask)
        penalty = recipe.beta * (batch.before - batch.reference) * mask  # of each token; 0 in all where beta is
        if recipe.algorithm == "rloo":
            return replace(batch, advantages=leave_one_out(rewards - penalty.sum(1).view_as(rewards)).reshape(-1, 1) * mask)
        ends = mask.shape[1] - 1 - mask.flip(1).int().argmax(1)
        each = (-penalty).index_put((torch.arange(len(ends)), ends), batch.rewards, accumulate=True)
        advantages, returns = generalized(each, batch.values, mask, recipe.discount, recipe.decay)
        return replace(batch, advantages=whitened(advantages, mask), returns=returns)

    def _watch(self, answers: Sequence[RewardedAnswer], rewards: Sequence[float]) -> None:
        """Tells when there has been nothing to learn for some steps."""
        count = self.recipe.answers
        groups = [rewards[at : at + count] for at in range(0, len(rewards), count)]
        self.constant = self.constant + 1 if all(max(group) == min(group) for group in groups) else 0
        if self.constant == CONSTANT:
            example = " ".join(answers[0].text.split())[:60]
            log.warning(
                "in %d steps all answers to a prompt had one reward: nothing is learned; an answer: %r", CONSTANT, example
            )

    def validate(self, step: int, record: RunLog, progress: dict[str, Any]) -> None:
        """The mean reward of an answer to each held-out prompt, and some of them; without any the last weights are exported."""
        if not self.held_out:
            checkpoint.replaced(self.recipe.out / "model", self.tuned.save)
            return
        answers, rows = self._answers(self.held_out, 1, "held out")
        rewards, parts = self.rewards(answers)
        told = {"reward": rewards, "answer_tokens": [float(len(ids)) for _, ids in rows]}
        told |= {name: part for name, part in parts.items() if len(parts) > 1}
        record.note(step, {f"validation_{name}": sum(some) / len(some) for name, some in told.items()})
        with (self.recipe.out / "samples.jsonl").open("a", encoding="utf-8") as file:
            for answer, reward in list(zip(answers, rewards, strict=True))[:SHOWN]:
                line = {"step": step, "prompt": answer.messages[-1].get("content"), "answer": answer.text, "reward": reward}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        reward = sum(rewards) / len(rewards)
        if -reward < progress["best"]:
            progress["best"] = -reward
            checkpoint.replaced(self.recipe.out / "model", self.tuned.save)

    def measure(self, name: str) -> Measured:
        """What the weights are worth now on the tested prompts, if there are any."""
        measured = Measured(self.recipe.out)
        if self.tested:
            measured.measure(
                name,
                lambda count, warmth: self._answers(self.tested, count, "tested", warmth)[0],
                self._judged,
                self.recipe.temperature,
            )
        return measured

    def _judged(self, answers: Sequence[RewardedAnswer]) -> dict[str, list[float]]:
        totals, parts = self.rewards(answers)
        return {"reward": totals, **(parts if len(parts) > 1 else {})}


def train(recipe: RLRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all steps are done. `out/model`: a model, or an adapter in PEFT's format."""
    accelerator = mixed_precision.accelerator(recipe.mixed_precision)
    with Runtime() as rt:
        task = RLRun(recipe, rt, accelerator.device)
        task.autocast = accelerator.autocast
        if not (recipe.out / "checkpoint").is_dir():
            task.measure("before")
        done = loop.run(recipe, task, RunLog(recipe.out, recipe.steps, every=NOTED), accelerator, stop_after_minutes)
        if done:
            for line in task.measure("after").lines():
                log.warning("%s", line)
        return done
