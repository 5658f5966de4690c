"""`mmgen web` finds the front end beside the package or in it."""

import pytest

from mmgen.cli import web


def test_the_front_end_of_a_checkout_or_a_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(web, "import_module", asked.append)
    web.front_end()
    monkeypatch.setattr(web, "find_spec", lambda name: object())
    web.front_end()
    assert asked == ["apps.web", "mmgen.apps.web"]
