"""What a cold start imports, by module name: native paths bring torch and tokenizers, and nothing else that is slow to."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gguf_models

UNNEEDED = """transformers diffusers peft accelerate torch._dynamo torch._inductor sympy scipy sklearn pandas matplotlib fastapi
gguf torchvision huggingface_hub gradio sentence_transformers""".split()  # noqa: SIM905
LESS = {"chat": ["PIL.Image", "faiss", "mmgen.ingest"], "txt2img": ["faiss", "mmgen.ingest.loaders"]}
"""What a command needs still less; the commands run in this order in one process."""
PROGRAM = f"""
import json, sys
from mmgen.cli.main import main
for command in json.loads(sys.argv[1]):
    try:
        main(command)
    except SystemExit as ended:
        assert not ended.code, command
    print("needless:", [name for name in {UNNEEDED} + {LESS}.get(command[0], []) if name in sys.modules])
"""


def test_native_models_start_without_what_they_do_not_need(home: Path, tiny_llama: Path, tmp_path: Path) -> None:
    home.mkdir(parents=True)
    (home / "config.yaml").write_text("device: cpu\n")
    gguf_models.llama_file(tmp_path / "tiny.gguf")
    (tmp_path / "tea.txt").write_text("Tea is drunk hot. The lamp of Argand burnt oil and was lit at dusk.")
    commands = [
        ["chat", "the cat", "--model", str(tiny_llama), "--max-tokens", "3"],
        ["chat", "the cat", "--model", "tiny.gguf", "--max-tokens", "3"],
        ["txt2img", "a red apple", "--steps", "2", "--output", "apple.png"],
        ["rag", "add", "tea.txt"],
        ["rag", "ask", "What did the lamp of Argand burn?"],
    ]
    environment = {**os.environ, "MMGEN_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("needless:")] == ["needless: []"] * len(commands)
