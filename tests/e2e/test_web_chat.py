"""The Chat tab in a real browser: an example in one click, a conversation over a reload, and what is done with it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


LISTEN = """
window.said = [];
new MutationObserver(() => {
  const told = document.querySelector(".sr-only[role=status]")?.textContent.trim();
  if (told && told !== window.said.at(-1)) window.said.push(told);
}).observe(document, { subtree: true, childList: true, characterData: true });
"""
"""Keeps what the page tells screen readers."""


def test_a_conversation(page: "Page") -> None:
    from playwright.sync_api import expect

    expect(page.get_by_role("tab", name="Chat", exact=True)).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Ask", exact=True).click()
    page.locator("#ask-sample").click()  # another test may have filled this store with documents of its own
    expect(page.locator("#ask-shelf")).to_contain_text("lighthouses.md")
    page.get_by_role("tab", name="Chat", exact=True).click()
    page.get_by_role("button", name="How far could the light at Cordouan be seen?").click()
    expect(page.locator("#chat-past .citation summary")).to_contain_text("32 kilometres")
    page.locator("#chat-past .citation summary").click()
    expect(page.locator("#chat-past blockquote mark")).to_have_text("more than 32 kilometres away")
    page.locator("#chat-past .steps summary").click()
    expect(page.locator("#chat-past .steps li")).to_contain_text("lighthouses.md")

    page.locator("#chat-box textarea").fill("Draw a red apple, $x^2$ or \\(y\\), for $5 or $6")
    page.keyboard.press("Enter")
    expect(page.locator("#chat-past .chat-images img")).to_have_count(1)
    expect(page.locator("#chat-past .question .katex-html")).to_have_count(2)  # by Gradio's copy: no stranger is asked
    page.locator("#chat-box textarea").fill("What is 15% of 240?")
    page.keyboard.press("Enter")
    expect(page.locator("#chat-past .turn")).to_have_count(6)
    page.add_init_script(LISTEN)
    page.reload()
    expect(page.locator("#chat-past .turn")).to_have_count(6)  # the conversation is still there
    expect(page.locator("#chat-past .turn").last).to_contain_text("= 36")

    page.locator("#chat-manage button").first.click()
    page.locator("#chat-name textarea, #chat-name input").fill("Lights")
    page.keyboard.press("Enter")
    expect(page.locator("#chat-list label")).to_have_text(["Lights"])
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as Markdown").click()
    assert download.value.suggested_filename == "Lights.md"
    page.get_by_role("button", name="Branch message 2").click()
    expect(page.locator("#chat-past .turn")).to_have_count(2)
    expect(page.locator("#chat-list label")).to_have_text(["Lights (branch)", "Lights"])
    page.get_by_role("button", name="Edit message 1").click()
    expect(page.locator("#chat-box textarea")).to_have_value("How far could the light at Cordouan be seen?")
    page.locator("#chat-stop-editing").click()
    expect(page.locator("#chat-box textarea")).to_have_value("")
    page.get_by_role("button", name="Edit message 1").click()
    expect(page.locator("#chat-editing")).to_be_visible()
    page.locator("#chat-box textarea").fill("What is 2 * 21?")
    page.keyboard.press("Enter")
    expect(page.locator("#chat-past .turn").last).to_contain_text("= 42")
    expect(page.locator("#chat-past .turn")).to_have_count(2)
    expect(page.locator("#chat-list label").first).to_have_text("Lights (branch 2)")
    page.get_by_role("button", name="Regenerate message 2").click()
    expect(page.locator("#chat-list label").first).to_have_text("Lights (branch 3)")
    expect(page.locator("#chat-past .turn").last).to_contain_text("= 42")
    for _ in range(2):
        page.locator("#chat-delete").click()
        expect(page.locator("#chat-empty")).to_be_visible()
        page.locator("#chat-list label", has_text="Lights (branch").first.click()
        expect(page.locator("#chat-past .turn")).to_have_count(2)
    page.locator("#chat-delete").click()
    expect(page.locator("#chat-empty")).to_be_visible()
    page.locator("#chat-search textarea, #chat-search input").fill("apple")
    page.locator("#chat-list label", has_text="Lights").click()
    expect(page.locator("#chat-past .turn")).to_have_count(6)
    page.locator("#chat-documents button").first.click()
    expect(page.locator("#chat-store input")).to_have_value("default")
    page.locator("#chat-sample").click()
    expect(page.locator("#chat-shelf")).to_contain_text("lighthouses.md")  # a store is filled from here as well
    page.wait_for_function("window.said.includes('Complete')")
    assert not [told for told in page.evaluate("window.said") if "common." in told], "a key instead of a word"
