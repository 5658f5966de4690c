"""What a screen reader and a keyboard find on the page: no serious fault by axe-core's rules, light and dark."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

GRAVE = ("serious", "critical")
FILLED = {"Models": ".model", "Engine": "#engine-tables section"}
"""What tabs show that ask the engine when they are opened."""


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_no_serious_fault_in_any_tab(visit: "Callable[..., AbstractContextManager[Page]]", address: str, scheme: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with visit(address) as page:
        page.emulate_media(color_scheme=scheme)
        page.locator("#chat-box").wait_for()
        tabs = page.get_by_role("tab")
        names = [tabs.nth(number).inner_text() for number in range(tabs.count())]
        assert {"Chat", "Ask", "Images", "Image search", "Text", "Models", "Engine", "Plugins"} <= set(names)
        found = []
        for name in names:
            page.get_by_role("tab", name=name, exact=True).click()
            page.locator(FILLED.get(name, "[role=tabpanel]:visible")).first.wait_for()
            for fault in Axe().run(page).response["violations"]:
                if fault["impact"] in GRAVE:
                    found.append((name, fault["id"], [node["html"][:200] for node in fault["nodes"]]))
        assert not found


def test_all_tabs_are_in_reach_on_a_phone(visit: "Callable[..., AbstractContextManager[Page]]", address: str) -> None:
    from playwright.sync_api import expect

    with visit(address, 390, 844) as page:
        page.get_by_role("tab", name="Plugins", exact=True).click()
        expect(page.get_by_role("tab", name="Plugins", exact=True)).to_have_attribute("aria-selected", "true")
        page.get_by_role("tab", name="Images", exact=True).click()
        expect(page.locator("#draw-progress")).to_be_in_viewport()  # where the result will be
