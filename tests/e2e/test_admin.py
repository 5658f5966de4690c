"""/admin in a real browser: an administrator makes, changes, replaces and revokes keys; nobody else gets in."""

from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


def works(address: str, key: str) -> bool:
    return httpx.get(f"{address}/v1/usage", headers={"Authorization": f"Bearer {key}"}, timeout=120).status_code == 200


def test_keys_are_managed(browser: "Browser", administered: tuple[str, str, str]) -> None:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import expect

    address, root, reader = administered
    said: list[Any] = []  # what the dialogs ask, and what they are told
    answers = iter(["7", "", "", ""])
    refused = httpx.get(f"{address}/admin", auth=("me", reader), timeout=120)
    assert refused.status_code == 401 and "scope admin" in refused.text, "another scope is not enough"
    context = browser.new_context(http_credentials={"username": "me", "password": root})
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.accept(next(answers))))
    page.goto(f"{address}/admin")
    rows, told = page.locator("#keys tr"), page.locator("#told")
    expect(rows).to_have_count(2)
    page.get_by_role("textbox", name="User").fill("ann")
    page.get_by_role("spinbutton", name="Quota, device-seconds a day").fill("5")
    page.get_by_role("textbox", name="Stores").fill("notes, work")
    page.get_by_role("button", name="Create key").click()
    expect(told).to_contain_text("The key of ann")
    first = told.locator("code").inner_text()
    ann = rows.filter(has=page.get_by_role("cell", name="ann", exact=True))
    expect(ann).to_contain_text("notes, work")
    expect(ann).to_contain_text("of 5 s")
    assert works(address, first)

    page.get_by_role("textbox", name="User").fill("ann")
    page.get_by_role("button", name="Create key").click()
    expect(told).to_have_class("bad")
    page.get_by_role("button", name="Quota: ann").click()
    expect(ann).to_contain_text("of 7 s")
    page.get_by_role("button", name="Rotate: ann").click()
    expect(told).to_contain_text("The key of ann")
    second = told.locator("code").inner_text()
    assert second != first and works(address, second) and not works(address, first)
    page.get_by_role("button", name="Revoke: ann").click()
    expect(told).to_contain_text("Revoked: ann")
    expect(ann).to_contain_text("revoked")
    assert not works(address, second) and len(said) == 3

    grave = [one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
    assert not grave
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "a phone scrolls sideways"
    context.close()
