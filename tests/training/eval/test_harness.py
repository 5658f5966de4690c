"""lm-eval through the engine scores and writes what lm-eval's own model of transformers does."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mmgen.errors import BadRequest
from mmgen.runtime import Runtime
from mmgen.training.eval import harness

DOCUMENTS = [
    {"question": "the sea and the hen", "choices": [" red", " a hen", " the"], "answer": 1},
    {"question": "a", "choices": [" b", " c", " the sea"], "answer": 0},
    {"question": "hen hen", "choices": [" hen", " sea", "!"], "answer": 2},
]
TASKS = {
    "choose": {
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    },
    "go_on": {
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{choices[answer]}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8, "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
    },
    "read": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{question}} {{choices[0]}}" + " hen" * 600,  # more than the model holds
        "metric_list": [{"metric": "word_perplexity"}],
    },
}


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "documents.json").write_text("\n".join(map(json.dumps, DOCUMENTS)))
    for name, task in TASKS.items():
        source = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(tmp_path / "documents.json")}}}
        (tmp_path / f"{name}.yaml").write_text(json.dumps({"task": name, "test_split": "test", **source, **task}))
    return tmp_path


@pytest.mark.filterwarnings("ignore")
def test_the_same_as_by_transformers(writer: Runtime, tiny_llama: Path, tasks: Path) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    ours = harness.evaluate(writer.text(), list(TASKS), tasks)["results"]
    theirs = lm_eval.simple_evaluate(
        model="hf",
        model_args={
            "pretrained": str(tiny_llama), "dtype": "float32", "device": "cpu",
            "max_length": writer.text().max_tokens - 2,  # see `harness.model`
        },
        tasks=list(TASKS),
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False), bootstrap_iters=0, batch_size=1,
    )["results"]  # fmt: skip
    for task in ("choose", "go_on"):
        assert {key: value for key, value in ours[task].items() if "stderr" not in key} == {
            key: value for key, value in theirs[task].items() if "stderr" not in key
        }
    assert ours["read"]["word_perplexity,none"] == pytest.approx(theirs["read"]["word_perplexity,none"], rel=1e-3)


def test_scores_are_log_probabilities(writer: Runtime) -> None:
    import torch

    client = writer.text()
    context, said = client.model.encode("the sea"), client.model.tokenizer.encode(" and").ids
    [(score, greedy), (again, _)] = harness.scores(client, [(context, said)] * 2)
    with torch.inference_mode():
        logits = client.model.lm(torch.tensor([context + said]))[0].log_softmax(-1)
    rows = range(len(context) - 1, len(context) + len(said) - 1)
    assert (
        score == again == pytest.approx(sum(float(logits[row, token]) for row, token in zip(rows, said, strict=True)), abs=1e-4)
    )
    assert greedy == all(int(logits[row].argmax()) == token for row, token in zip(rows, said, strict=True))


@pytest.mark.filterwarnings("ignore")
def test_what_is_refused(writer: Runtime, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.tasks import TaskManager

    ours = partial(TaskManager, include_defaults=False)  # instead of the harness's own
    monkeypatch.setattr("lm_eval.tasks.TaskManager", lambda include_path: ours(include_path=include_path or str(tasks)))
    with pytest.raises(BadRequest, match="there is no task 'nothing' among the harness's 3; see its list"):
        harness.evaluate(writer.text(), ["nothing"])
    monkeypatch.setitem(__import__("sys").modules, "lm_eval", None)
    with pytest.raises(BadRequest, match=r"pip install 'mmgen\[eval\]'"):
        harness.evaluate(writer.text(), ["nothing"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_harnesses_own_list_is_read(writer: Runtime) -> None:
    with pytest.raises(BadRequest, match=r"there is no task 'nothing' among the harness's \d+,\d{3}"):
        harness.evaluate(writer.text(), ["nothing"])


@pytest.mark.filterwarnings("ignore")
def test_the_command(call: Any, tiny_llama: Path, tasks: Path) -> None:
    done = call("eval", tiny_llama, "--tasks", "choose", "--include", tasks, "--limit", "2", "--json")
    assert done.code == 0 and "acc,none" in json.loads(done.out)["results"]["choose"]
