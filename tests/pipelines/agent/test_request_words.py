import pytest

from mmgen.pipelines.agent.request_words import to_draw, to_edit, to_find


@pytest.mark.parametrize(
    ("said", "prompt"),
    [
        ("Draw me a cat wearing a hat", "a cat wearing a hat"),
        ("Can you create a picture of a robot reading a book?", "a robot reading a book"),
        ("I'd like a drawing of a pirate ship", "a pirate ship"),
        ("Sketch a dragon for me", "a dragon"),
        ("draw another one", "the last"),
        ("a red apple", "a red apple"),
    ],
)
def test_to_draw(said: str, prompt: str) -> None:
    assert to_draw(said, "the last") == prompt


@pytest.mark.parametrize(
    ("said", "query"),
    [
        ("Show me pictures of the volcano", "the volcano"),
        ("Do I have any images of a sunflower?", "a sunflower"),
        ("find the screenshot of the login page", "the login page"),
        ("Find photos of dogs in my collection", "dogs"),
        ("sunsets", "sunsets"),
    ],
)
def test_to_find(said: str, query: str) -> None:
    assert to_find(said) == query


@pytest.mark.parametrize(
    ("said", "prompt"),
    [
        ("make it blue", "a blue apple"),
        ("replace the apple with a pear", "a red pear"),
        ("Can you make the image look like winter?", "a red apple, like winter"),
    ],
)
def test_to_edit(said: str, prompt: str) -> None:
    assert to_edit(said, "a red apple") == prompt


def test_an_edit_of_an_image_without_a_prompt() -> None:
    assert to_edit("make it blue", "") == "blue"
    assert to_edit("make it blue", "an apple") == "an blue apple"
