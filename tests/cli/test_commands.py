"""The command table: every entry can be loaded, and an unknown name is answered with the nearest one."""

import pytest

from mmgen.cli import commands


@pytest.mark.parametrize("name", sorted(commands.OWN))
def test_every_command_loads(name: str) -> None:
    assert callable(commands.load(name)) and commands.OWN[name].summary


def test_pipelines_are_commands() -> None:
    assert {parameter.name for parameter in commands.load("txt2img").params} >= {"seed", "steps"}
