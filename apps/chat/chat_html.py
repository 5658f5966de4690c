"""Messages of a conversation as HTML: steps that unfold, images, citations that open their passage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from .. import formulas
from . import safe_markdown

LABELS = {
    "docs": "Documents", "images": "Image search", "draw": "Draw", "edit": "Edit image", "calc": "Calculator",
    "fetch": "Web page",
}  # fmt: skip
KINDS = frozenset({"image/png", "image/jpeg", "image/webp"})


def transcript(messages: Sequence[Mapping[str, Any]], acts: bool = True) -> str:
    """The conversation, oldest first. `acts`: with buttons at each message, which apps/web.js hears."""
    return "".join(message(one, number, acts) for number, one in enumerate(messages, 1))


def message(said: Mapping[str, Any], number: int, acts: bool = True) -> str:
    if said["role"] == "user":
        body = f"<div class='question'>{_user(said['content'])}</div>"
        return _turn(f"{body}{_acts(('Copy', 'Edit'), number, 'yours') if acts else ''}", "You", number)
    shown = _acts(("Copy", "Regenerate", "Branch"), number) if acts else ""
    body = f"<div class='answer'>{reply(said)}</div>{shown}"
    return _turn(body, "Assistant", number, "absent" if said.get("abstained") else "")


def _acts(names: Sequence[str], number: int, kind: str = "") -> str:
    buttons = "".join(
        f"<button type='button' data-act='{name.lower()} {number}' aria-label='{name} message {number}'>{name}</button>"
        for name in names
    )
    return f"<div class='acts {kind}'>{buttons}</div>"


def reply(said: Mapping[str, Any]) -> str:
    """Steps, text, images and sources of an answer."""
    parts = [steps(said.get("steps") or ()), f"<div class='told'>{safe_markdown.html(str(said['content']))}</div>"]
    parts += [images(said.get("images") or ()), citations(said)]
    if said.get("error"):
        parts.append(f"<p class='warn'>{escape(str(said['error']))}</p>")
    if said.get("stopped") == "user":
        parts.append("<p class='facts'>Stopped.</p>")
    if said.get("confidence") is not None:
        parts.append(f"<p class='facts'>Confidence {float(said['confidence']):.0%}</p>")
    if said.get("model"):
        parts.append(f"<p class='facts'>{escape(str(said['model']))}</p>")
    return "".join(parts)


def running(done: Sequence[Mapping[str, Any]], doing: str, text: str, shown: Sequence[Mapping[str, Any]]) -> str:
    """An answer that is under way."""
    pending = f"<p class='pending'>{escape(doing)}</p>" if doing else ""
    body = f"{steps(done)}{safe_markdown.html(text)}{images(shown)}{pending}"
    return f"<article class='turn' aria-busy='true' aria-label='Assistant'><div class='answer'>{body}</div></article>"


def steps(done: Sequence[Mapping[str, Any]]) -> str:
    """What was called, with what, and what it brought."""
    if not done:
        return ""
    names = ", ".join(dict.fromkeys(label(one["call"]["tool"]) for one in done))
    took = sum(float(one.get("ms") or 0) for one in done) / 1000
    items = "".join(f"<li>{_step(one)}</li>" for one in done)
    return f"<details class='steps'><summary>{escape(names)} <small>{took:.1f} s</small></summary><ol>{items}</ol></details>"


def label(tool: str) -> str:
    return LABELS.get(tool, tool)


def call_text(tool: str, arguments: Mapping[str, Any]) -> str:
    """A call in a line: `Draw: prompt a red apple`."""
    given = ", ".join(f"{name} {str(value)[:200]}" for name, value in arguments.items())
    return f"{label(tool)}: {given}" if given else label(tool)


def images(shown: Sequence[Mapping[str, Any]]) -> str:
    """Images at their own size, or as wide as there is room."""
    figures = []
    for one in shown:
        if one["kind"] not in KINDS:
            continue
        caption = escape(str(one.get("caption") or one.get("prompt") or one["name"]))
        small = " class='small'" if int(one["width"]) < 200 else ""
        picture = f"<img{small} src='data:{one['kind']};base64,{escape(str(one['data']), quote=True)}' alt='{caption}'>"
        figures.append(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>")
    return f"<div class='chat-images'>{''.join(figures)}</div>" if figures else ""


def citations(said: Mapping[str, Any]) -> str:
    """Quotes; each opens the passage in which it stands."""
    passages = list(said.get("passages") or ())
    quotes = []
    for number, one in enumerate(said.get("citations") or (), 1):
        page = f", page {one['page']}" if one.get("page") else ""
        place = escape(f"{Path(str(one['document'])).name}{page}" + (f", {one['heading']}" if one.get("heading") else ""))
        passage = passages[number - 1] if number <= len(passages) else one["quote"]
        before, quote, after = str(passage).partition(str(one["quote"]))
        marked = f"{escape(before)}<mark>{escape(quote)}</mark>{escape(after)}"
        summary = f"<summary>[{number}] “{escape(str(one['quote']))}” <small>{place}</small></summary>"
        quotes.append(f"<details class='citation'>{summary}<blockquote>{marked}</blockquote></details>")
    return "".join(quotes)


def text_of(content: Any) -> str:
    """The words of a message."""
    return content if isinstance(content, str) else "\n".join(one["text"] for one in content if one["type"] == "text")


def _user(content: Any) -> str:
    shown = "" if isinstance(content, str) else "".join(
        f"<img src='{escape(str(one['image']), quote=True)}' alt='Attached image'>"
        for one in content
        if one["type"] == "image" and str(one["image"]).startswith(tuple(f"data:{kind};" for kind in KINDS))
    )  # fmt: skip
    return shown + "<br>".join(map(formulas.text_html, text_of(content).split("\n")))


def _step(one: Mapping[str, Any]) -> str:
    call = escape(call_text(one["call"]["tool"], one["call"]["arguments"]))
    brought = escape(str(one.get("error") or one.get("summary") or ""))
    kind = "warn" if one.get("error") else "facts"
    return f"<span>{call}</span><br><span class='{kind}'>{brought} ({float(one.get('ms') or 0) / 1000:.1f} s)</span>"


def _turn(body: str, who: str, number: int, kind: str = "") -> str:
    return f"<article class='turn {kind}' aria-label='{who}, message {number}'>{body}</article>"
