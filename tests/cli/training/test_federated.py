"""`mmgen train federated-server` and two `federated-client`s, processes of their own over TLS on the loopback."""

import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import certificates
import pytest
import tiny_corpus
import torch
import yaml

from mmgen.models.checkpoints import safetensors_io
from mmgen.training.recipes import federated, language_model
from mmgen.training.recipes.language_model import LanguageModelRecipe

WORDS = "ein der Hase Huhn Bauer Fluss Wald Mond rennt sieht folgt findet alt jung rot und unter".split()  # noqa: SIM905


@pytest.mark.slow
def test_three_processes_over_tls(tmp_path: Path) -> None:
    """The server stops after each round and is started again, which the clients outlast; the weights are the simulation's."""
    rng, data = random.Random(1), tmp_path / "data"
    tiny_corpus.write(data / "english")
    tiny_corpus.write(data / "german", [" ".join(rng.choices(WORDS, k=80)) for _ in range(24)])
    base = LanguageModelRecipe(
        data=data / "english", out=tmp_path / "base", tokenizer={"vocabulary": 300}, held_out=0.15,
        model=tiny_corpus.MODEL, steps=1, batch=4, validate_every=1, sample_tokens=2, family="",
    )  # fmt: skip
    assert language_model.train(base)
    config = tmp_path / "federated.yaml"
    local = {
        "base": str(base.out / "model"), "batch": 4, "held_out": 0.15, "validation_rows": 3, "schedule": {"peak": 2e-2},
    }  # fmt: skip
    config.write_text(
        yaml.safe_dump({"rounds": 3, "local_steps": 2, "clients": ["english", "german"], "recipe": local, "round_seconds": 100})
    )
    cert, key = certificates.pair(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    run = tmp_path / "run"
    server = ["federated-server", "--data", str(data / "english"), "--cert", str(cert), "--key", str(key), "--port", str(port),
              "--out", str(run), "--tokens", str(tmp_path / "tokens")]  # fmt: skip
    (tmp_path / "tokens").write_text("english a-token-for-english\ngerman a-token-for-german\n")
    clients = []
    for name in ("english", "german"):
        (tmp_path / name).write_text(f"{name} a-token-for-{name}\n")
        clients.append(
            started(config, "federated-client", "--data", str(data / name), "--server", f"https://127.0.0.1:{port}",
                    "--token", str(tmp_path / name), "--ca", str(cert), "--out", str(tmp_path / f"at-{name}"))
        )  # fmt: skip
    try:
        for _ in range(2):
            assert "the same command resumes" in finished(started(config, *server, "--minutes", "0"))
        assert f"model: {run / 'model'}" in finished(started(config, *server))
        assert all("6 answers were taken; the run is over" in finished(client) for client in clients), "3 rounds, each measured"
    finally:
        for client in clients:
            client.kill()
            client.communicate()
    recipe = federated.FederatedRecipe(
        **yaml.safe_load(config.read_text()) | {"out": tmp_path / "simulated", "data": data}
    )  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert federated.train(recipe)
    finally:
        torch.set_num_threads(threads)
    first, second = (safetensors_io.read(out / "checkpoint" / "weights.safetensors") for out in (run, recipe.out))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def started(config: Path, command: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mmgen", "train", command, "--config", str(config), *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> str:
    try:
        told, _ = process.communicate(timeout=900)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, told
    return told
