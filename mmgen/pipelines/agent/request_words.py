"""What a request is about, without the words that ask for it: "draw me a red apple" -> "a red apple"."""

from __future__ import annotations

import re

LONGEST = 2000  # characters of a request that are read
POLITE = (
    r"(?:(?:please|kindly|now|ok(?:ay)?|and|hey|can you|could you|would you|will you|i want you to|"
    r"i(?:'d| would) like(?: you to)?|i want|i need|let's)[\s,]+)*"
)
PICTURE = (
    r"(?:pictures?|images?|photos?|photographs?|drawings?|paintings?|sketch(?:es)?|illustrations?|portraits?|icons?|cartoons?|"
    r"emojis?|figures?|diagrams?|screenshots?)"
)
DRAW = re.compile(
    rf"^{POLITE}(?:draw|paint|generate|create|make|sketch|illustrate|design|render|produce|doodle|visuali[sz]e|imagine|txt2img|"
    rf"text to image:?|give|show|see)?(?:\s+(?:me|us))?\s*(?:(?:an?|another|the|one|some|new|a new)\s+)*"
    rf"(?:(?:photo-realistic|realistic|digital|new)\s+)?"
    rf"{PICTURE}\s*(?:of|showing|with|that shows|:)\s+",
    re.IGNORECASE,
)
DRAW_PLAIN = re.compile(
    rf"^{POLITE}(?:draw|paint|generate|create|make|sketch|illustrate|design|render|produce|doodle|visuali[sz]e|imagine|txt2img)"
    r"(?:\s+(?:me|us))?(?:\s+(?:another one|another))?[\s,:]+",
    re.IGNORECASE,
)
AGAIN = re.compile(
    r"^(?:it |that |this )?(?:again|one|another(?: one)?|one more|more|two more|it|that|anew|a new one)?$", re.IGNORECASE
)
FIND = re.compile(
    rf"^{POLITE}(?:(?:show|find|search|get|give|let|look|browse|display|retrieve|pull|bring|list|open|do i have|are there|"
    r"is there|any|which|what|where)\b[\s,]*)?"
    r"(?:(?:me|us|see|up|for|through|at|of|my|the|all|any|some|in|is|are|an?|our|those|these|i|do|have|were)\s+)*"
    rf"(?:{PICTURE}|gallery|library|collection)\s*(?:search)?\s*"
    r"(?:of|with|for|that shows?|that contain|showing|about|shows?|has|have|from|"
    r"there are of|are there of|is there of|where|like|similar to|:)?\s*",
    re.IGNORECASE,
)
WHERE = re.compile(
    r"\s*\b(?:in|among|from|of) (?:my|the|our) (?:\w+ )?"
    r"(?:collection|images?|pictures?|photos?|files?|store|library|gallery|documents?|folder)\b",
    re.IGNORECASE,
)
END = re.compile(
    r"[\s,;]*(?:please|for me|,? create that image|,? (?:and )?draw it|,? please draw it)?[\s.!?]*$", re.IGNORECASE
)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "violet", "pink", "brown", "black", "white", "grey",
           "gray", "golden", "silver", "turquoise")  # fmt: skip
RECOLOUR = re.compile(rf"^(?:make|paint|colou?r|turn|let|change)\b.{{0,40}}?\b({'|'.join(COLOURS)})\b", re.IGNORECASE)
SWAP = re.compile(
    r"^(?:replace|change|turn|swap) (?:the |this |that )?([\w-]+(?: [\w-]+)?) (?:with|by|into|to|for) (?:an? |the )?(.+)$",
    re.IGNORECASE,
)
EDIT = re.compile(
    rf"^{POLITE}(?:(?:make|turn|let|change|edit|redo|redraw|modify|convert)\s+"
    r"(?:it|this|that|them|the (?:image|picture|photo)|this (?:image|picture|photo)|my photo)\s+"
    r"(?:(?:into|to|to look|look|be|so that it (?:is|looks))\s+)?|now\s+)",
    re.IGNORECASE,
)


def to_draw(said: str, last: str = "") -> str:
    """The prompt for an image; `last`: of the image before, which "draw it again" means."""
    said = said.strip()[:LONGEST]
    text = END.sub("", said)
    text = DRAW.sub("", text, count=1) if DRAW.match(text) else DRAW_PLAIN.sub("", text, count=1)
    text = text.strip(" ,:")
    return last if last and AGAIN.match(text) else text or said


def to_find(said: str) -> str:
    """What images should show."""
    said = said.strip()[:LONGEST]
    text = WHERE.sub("", END.sub("", said))
    found = FIND.sub("", text, count=1).strip(" ,:")
    return found or text or said


def to_edit(said: str, before: str) -> str:
    """The prompt of the changed image, from that of the image as it is (may be empty) and the change.

    A colour takes the place of the one that was there; anything else is added.
    """
    text = END.sub("", said.strip()[:LONGEST])
    colour = RECOLOUR.search(text)
    if (swap := SWAP.match(text)) and re.search(rf"\b{re.escape(swap[1])}\b", before, re.IGNORECASE):
        return re.sub(rf"\b{re.escape(swap[1])}\b", lambda _: swap[2], before, flags=re.IGNORECASE)
    if not before:
        return EDIT.sub("", text, count=1) or text
    if colour:
        new = colour[1].lower()
        recoloured, times = re.subn(rf"\b(?:{'|'.join(COLOURS)})\b", new, before, flags=re.IGNORECASE)
        if times == 1:
            return recoloured
        words = before.split(" ")
        place = 1 if words[0].lower() in ("a", "an", "the") else 0
        return before if times else " ".join([*words[:place], new, *words[place:]])
    return f"{before}, {EDIT.sub('', text, count=1) or text}"
