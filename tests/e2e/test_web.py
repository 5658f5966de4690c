"""The page in a real browser: `mmgen web` over the embedded reader and a tiny model that draws."""

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from mmgen.pipelines.image import recipe

if TYPE_CHECKING:
    from playwright.sync_api import Page

DOCUMENT = "# Lighthouse\n\nThe <b>lamp</b> of Hirta was lit by Anna Stuart in 1823. It burned seal oil.\n"


def test_ask_draw_and_find_it_again(page: "Page", tmp_path: Path) -> None:
    """A file in, a question answered by a quote, one not; an image, a cancelled one, a mistake; all there when loaded anew."""
    from playwright.sync_api import expect

    add_document(page, tmp_path)
    ask(page, "Who lit the lamp of Hirta?")
    answer = page.locator(".turn").nth(0)
    expect(answer.locator(".citation summary")).to_contain_text("Anna Stuart")
    answer.locator("summary").click()
    expect(answer.locator("blockquote")).to_contain_text("The <b>lamp</b> of Hirta")
    assert "Anna Stuart" in answer.locator("mark").inner_text()
    ask(page, "Who won the football world cup in 1998?")
    expect(page.locator(".turn.absent .text")).to_have_text(re.compile("No answer is sure enough|Not in the documents"))
    page.reload()
    expect(page.locator(".turn")).to_have_count(2)  # the conversation is still there

    page.get_by_role("tab", name="Images", exact=True).click()
    page.locator("#draw-prompt textarea").fill("a red apple")
    page.keyboard.press("Enter")
    expect(page.locator("#draw-progress")).to_contain_text(re.compile(r"1 generated, seed \d+, 16 x 16 pixels"))
    expect(page.locator("#draw-gallery img")).to_have_count(1)
    assert made(page).prompt == "a red apple"
    page.get_by_role("button", name="Recipe").click()
    expect(page.locator("#draw-recipe")).to_contain_text('"prompt": "a red apple"')
    draw(page, "")
    expect(page.locator("#draw-progress")).to_contain_text("the prompt is empty")
    expect(page.locator("#draw-gallery img")).to_have_count(1)  # a mistake wipes nothing
    page.reload()
    expect(page.locator("#draw-gallery img")).to_have_count(1)

    page.get_by_role("button", name="Options").last.click()
    page.locator("#draw-steps textarea").fill("1000")
    page.get_by_label("number input for Batch size").fill("8")
    cancel_at_once(page)
    draw(page, "a red apple")
    expect(page.locator("#draw-progress")).to_contain_text(re.compile(r"Interrupted: \d of 8 finished"))
    expect(page.locator("#draw-go")).to_be_enabled()

    page.reload()
    expect(page.get_by_role("tab", name="Images", exact=True)).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Ask", exact=True).click()
    expect(page.locator("#ask-answers .turn")).to_have_count(2)  # before another answer is opened
    open_ = page.get_by_role("button", name="Who lit the lamp of Hirta?")
    page.get_by_role("button", name="Question history").click()
    open_.click()
    expect(page.locator(".turn .text").nth(2)).to_contain_text("Anna Stuart")
    page.get_by_role("tab", name="Images", exact=True).click()
    page.get_by_role("button", name="Image history").click()
    page.get_by_role("button", name="a red apple ·").click()
    expect(page.locator("#draw-gallery img")).to_have_count(1)
    assert made(page).prompt == "a red apple"
    page.get_by_role("button", name="Delete").locator("visible=true").first.click()
    expect(page.get_by_role("button", name="a red apple ·")).to_have_count(0)


def test_two_visitors_at_once(visit: Any, address: str, tmp_path: Path) -> None:
    """One cancels what is theirs alone; both are served."""
    from playwright.sync_api import expect

    with visit(address) as one, visit(address) as other:
        for page in (one, other):
            page.get_by_role("tab", name="Images", exact=True).click()
            page.get_by_role("button", name="Options").last.click()
            page.locator("#draw-steps textarea").fill("1000" if page is one else "60")
            if page is one:
                cancel_at_once(page)
            draw(page, "a crown")
        expect(one.locator("#draw-progress")).to_contain_text("Interrupted: 0 of 1 finished")
        one.get_by_role("tab", name="Ask").click()
        add_document(one, tmp_path)
        ask(one, "Who lit the lamp of Hirta?")
        expect(one.locator(".turn .text").first).to_contain_text("Anna Stuart")
        expect(other.locator("#draw-progress")).to_contain_text(re.compile(r"1 generated, seed \d+"))
        expect(other.locator(".turn")).to_have_count(0)
        other.get_by_role("tab", name="Ask").click()
        expect(other.locator("#ask-shelf")).to_contain_text("hirta.md")  # another window learns of it


def add_document(page: "Page", tmp_path: Path) -> None:
    from playwright.sync_api import expect

    (tmp_path / "hirta.md").write_text(DOCUMENT)
    page.get_by_role("tab", name="Ask", exact=True).click()
    page.locator("#ask-files input[type=file]").set_input_files(tmp_path / "hirta.md")
    expect(page.locator("#ask-shelf .report")).to_be_visible()
    expect(page.locator("#ask-shelf")).to_contain_text("hirta.md")


def ask(page: "Page", question: str) -> None:
    page.locator("#ask-question input, #ask-question textarea").fill(question)
    page.locator("#ask-go").click()


def draw(page: "Page", prompt: str) -> None:
    page.locator("#draw-prompt textarea").fill(prompt)
    page.locator("#draw-go").click()


def cancel_at_once(page: "Page") -> None:
    """Interrupt is pressed as soon as it can be, until it is heard: a tiny model may be done before a robot looks again."""
    page.evaluate("""() => {
        let pressed = 0;
        const timer = setInterval(() => {
            const stop = document.querySelector("#draw-cancel");
            if (!stop.disabled && pressed++ % 40 == 0) stop.click();
            if (pressed && stop.disabled) clearInterval(timer);
        }, 5);
    }""")


def made(page: "Page") -> recipe.Recipe:
    """The recipe of the image that the browser is given."""
    served = page.request.get(page.locator("#draw-gallery img").first.evaluate("image => image.src")).body()
    with Image.open(io.BytesIO(served)) as image:
        assert image.size == (16, 16)
        return recipe.of(image, "it")
