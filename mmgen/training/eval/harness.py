"""Language models under EleutherAI's evaluation harness (lm-eval, an extra): its requests become jobs of the engine.

Many are under way at once and share forward passes; a seed or a prompt gives the same result in any batch, and so does a score.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.text_params import TextParams

if TYPE_CHECKING:
    from mmgen.clients.text import TextClient
    from mmgen.runners.generation import GenerationResult, TextRequest

UNDER_WAY = 64
"""Requests that the engine has at once."""
Scored = tuple[tuple[str, str], list[int], list[int]]
"""What the harness wants scored: texts, and the ids of a context and of what follows it."""


def evaluate(
    client: TextClient,
    tasks: Sequence[str],
    include: Path | None = None,
    shots: int | None = None,
    limit: int | None = None,
    chat: bool = False,
) -> dict[str, Any]:
    """The harness's results, as its `simple_evaluate` returns them.

    Args:
        tasks: its tasks and groups by name, and those of YAML files.
        include: a folder with tasks of your own.
        shots: examples before each question; None: as the task says.
        limit: questions of a task that are asked; None: all.
        chat: whether the model's chat template is applied.

    Raises BadRequest without lm-eval, for an unknown task, or what a task or the model refuses.
    """
    try:
        import lm_eval
        from lm_eval.tasks import TaskManager
    except ImportError as why:
        raise BadRequest(f"evaluation needs lm-eval ({why.name} is not installed); pip install 'mmgen[eval]'") from None
    if client.model.lm.encoder is not None:
        raise BadRequest(f"{client.name} reads with an encoder; the harness scores causal models")
    manager = None if include is None else TaskManager(include_path=str(include), include_defaults=False)
    if manager is None or not set(tasks) <= set(manager.all_tasks):  # reading all of the harness's takes seconds
        manager = TaskManager(include_path=None if include is None else str(include))
    known = manager.all_tasks
    if unknown := [task for task in tasks if task not in known and not task.endswith((".yaml", ".yml"))]:
        raise BadRequest(f"there is no task {unknown[0]!r} among the harness's {len(known):,}; see its list, or give a folder")
    results: dict[str, Any] = lm_eval.simple_evaluate(
        model=model(client), tasks=list(tasks), num_fewshot=shots, limit=limit, apply_chat_template=chat, task_manager=manager,
        log_samples=False, bootstrap_iters=1000,
    )  # fmt: skip
    return results


def model(client: TextClient) -> Any:
    """The client as the harness's kind of model."""
    from lm_eval import utils
    from lm_eval.api.model import TemplateLM

    class EngineLM(TemplateLM):
        """Scores and writes through the engine."""

        max_length = client.max_tokens - 2  # read, beside the last token that is scored, and one that is written behind it
        tokenizer_name = client.reference

        @property
        def eot_token_id(self) -> int:
            return min(client.model.eos_ids, default=client.model.bos_id or 0)

        @property
        def prefix_token_id(self) -> int:
            return self.eot_token_id if client.model.bos_id is None else client.model.bos_id

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
            begins = string.startswith(client.model.tokenizer.decode([self.prefix_token_id], {self.prefix_token_id}) or "\0")
            if add_special_tokens is False or (add_special_tokens is None and begins):
                return client.model.tokenizer.encode(string).ids
            return client.model.encode(string)

        def apply_chat_template(self, chat_history: Any, add_generation_prompt: bool = True) -> str:
            return client.model.render_chat(chat_history, add_generation_prompt)

        def chat_template(self, chat_template: bool | str = False) -> str | None:
            return client.model.template.text if chat_template else None

        def _loglikelihood_tokens(self, requests: Sequence[Scored], **_: Any) -> list[tuple[float, bool]]:
            return scores(client, [(context, said) for _, context, said in requests])

        def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
            texts = [
                [
                    utils.make_disjoint_window(window)
                    for window in utils.get_rolling_token_windows(
                        self.tok_encode(one.args[0]), self.prefix_token_id, self.max_length, 1
                    )
                ]
                for one in requests
            ]
            found = iter(scores(client, [window for windows in texts for window in windows]))
            return [sum(next(found)[0] for _ in windows) for windows in texts]

        def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
            return generations(client, [(self.tok_encode(one.args[0]), one.args[1]) for one in requests])

    return EngineLM()


def scores(client: TextClient, pairs: Sequence[tuple[list[int], list[int]]]) -> list[tuple[float, bool]]:
    """Of contexts and what follows them, as ids: its log-probability, and whether each token was the likeliest."""
    from mmgen.runners.generation import TextRequest

    most = client.max_tokens - 1
    params = TextParams(strategy="greedy", max_tokens=1, prompt_logprobs=1)
    wanted = [TextRequest((context + said)[-most:], params) for context, said in pairs]
    found = []
    for (_, said), done in zip(pairs, _done(client, wanted), strict=True):
        choices = (done.prompt_choices or ())[-len(said) :]
        found.append((sum(one.logprob for one in choices), all(one.top[0][0] == one.token for one in choices)))
    return found


def generations(client: TextClient, asked: Sequence[tuple[list[int], dict[str, Any]]]) -> list[str]:
    """What follows prompts, with the harness's options for each: until, max_gen_toks, do_sample, temperature."""
    from mmgen.runners.generation import TextRequest

    wanted = []
    for ids, options in asked:
        stops = options.get("until") or []
        count = int(options.get("max_gen_toks") or options.get("max_new_tokens") or 256)
        drawn = options.get("do_sample") and options.get("temperature", 0) > 0
        params = TextParams(
            strategy="sample" if drawn else "greedy",
            temperature=float(options.get("temperature", 1.0)) if drawn else 1.0,
            max_tokens=count,
            stop=[stops] if isinstance(stops, str) else [one for one in stops if one],
        )
        wanted.append(TextRequest(ids[-max(1, client.max_tokens - count) :], params))
    return [done.texts[0].text for done in _done(client, wanted)]


def _done(client: TextClient, wanted: Iterable[TextRequest]) -> Iterator[GenerationResult]:
    """Results in order, while up to UNDER_WAY requests are computed."""
    request, handles = Request.new(priority="batch"), deque[Any]()
    try:
        for one in wanted:
            handles.append(client.submit(one, request, seed=0))
            if len(handles) == UNDER_WAY:
                yield handles.popleft().result()
        while handles:
            yield handles.popleft().result()
    finally:
        request.cancel()
