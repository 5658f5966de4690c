"""Control models are opened once, beside their denoiser, and the oldest are freed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_controls

from mmgen.clients import control_models
from mmgen.clients.denoiser import DenoiserClient
from mmgen.config import RuntimeConfig
from mmgen.errors import BadWeights
from mmgen.runtime import Runtime


@pytest.fixture
def client(tmp_path: Path, stable_diffusion: Path) -> Iterator[DenoiserClient]:
    with Runtime(RuntimeConfig(home=tmp_path / "home", device="cpu", denoiser=str(stable_diffusion))) as rt:
        found = rt.denoiser()
        assert isinstance(found, DenoiserClient)
        yield found


def test_the_oldest_is_freed(
    client: DenoiserClient, stable_diffusion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_models, "KEPT", 2)
    folders = [str(tiny_controls.controlnet(tmp_path / str(n), stable_diffusion, n)) for n in range(3)]
    first = client.controls.get(folders[0])
    client.controls.get(folders[1])
    assert client.controls.get(folders[0]) is first
    client.controls.get(folders[2])
    loaded = [one.name for one in client.host.engine.models if one.name.startswith("control ")]
    assert [folder for folder in folders if any(folder in name for name in loaded)] == [folders[0], folders[2]]
    assert client.controls.get(folders[0]) is first


def test_what_is_none_is_not_kept(client: DenoiserClient, stable_diffusion: Path) -> None:
    for _ in range(2):
        with pytest.raises(BadWeights, match="of class UNet2DConditionModel; give a ControlNet, T2I-Adapter or IP-Adapter"):
            client.controls.get(str(stable_diffusion / "unet"))
    assert not any(one.name.startswith("control ") for one in client.host.engine.models)
