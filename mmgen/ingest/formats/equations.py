"""Equations as one line: Word's OMML and MathML, in the manner of UnicodeMath; a²/(b + c) is `a^2/(b + c)`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mmgen.ingest.formats.office_names import child, children, name, value

if TYPE_CHECKING:
    from lxml.etree import _Element

ATOM = re.compile(r"[\w.,′']+|[\[({].*[\])}]|√\(.*\)")

PARTED = frozenset({"f", "sSup", "sSub", "sSubSup", "sPre", "rad", "nary", "func", "limLow", "limUpp", "acc"})


def omml(node: _Element) -> str:
    """The text of an `m:oMath`, or of any element within."""
    kind = name(node).removeprefix("m:")
    part = {name(one).removeprefix("m:"): one for one in node}
    of = {key: omml(one) for key, one in part.items()} if kind in PARTED else {}
    match kind:
        case "t":
            return str(node.text or "")
        case "f":
            return _fraction(of, value(node, "m:fPr", "m:type"))
        case "sSup" | "sSub" | "sSubSup":
            return _scripts(of.get("e", ""), of.get("sub", ""), of.get("sup", ""))
        case "sPre":
            return _scripts("", of.get("sub", ""), of.get("sup", "")) + of.get("e", "")
        case "rad":
            return _root(of.get("e", ""), of.get("deg", ""))
        case "nary":
            sign = value(node, "m:naryPr", "m:chr") or "∫"
            return f"{_scripts(sign, of.get('sub', ''), of.get('sup', ''))} {of.get('e', '')}"
        case "func":
            return f"{of.get('fName', '')} {of.get('e', '')}"
        case "limLow" | "limUpp":
            return of.get("e", "") + ("_" if kind == "limLow" else "^") + _grouped(of.get("lim", ""))
        case "d":
            return _delimited(node)
        case "m":
            return "[" + "; ".join(", ".join(map(omml, children(row, "m:e"))) for row in children(node, "m:mr")) + "]"
        case "eqArr":
            return "; ".join(map(omml, children(node, "m:e")))
        case "acc":
            return of.get("e", "") + (value(node, "m:accPr", "m:chr") or "\u0302")
        case "phant" if value(node, "m:phantPr", "m:show") in ("0", "off", "false"):
            return ""
        case "oMathPara":
            return "\n".join(map(omml, children(node, "m:oMath")))
        case "rPr" | "ctrlPr":
            return ""
        case "w:br":
            return "\n"
    return "" if kind.endswith("Pr") or kind in ("w:del", "w:moveFrom") else "".join(map(omml, node))


def mathml(node: _Element) -> str:
    """The text of a `math` element, or of any within."""
    kind = name(node).removeprefix("math:")
    if kind in ("annotation", "annotation-xml"):
        return ""
    parts = [mathml(one) for one in node if name(one)]
    match kind, len(parts):
        case (("mi" | "mn" | "mo" | "mtext" | "ms"), _):
            words = "".join(str(text) for text in node.itertext())
            words = " ".join(words.split()) if kind != "mo" else words.strip()
            return f" {words} " if kind == "mo" and words in ("=", "+", "−", "-", "<", ">", "≤", "≥", "→", "±", "×") else words
        case "mspace", _:
            return " "
        case "mfrac", 2:
            return _fraction({"num": parts[0], "den": parts[1]}, "")
        case (("msup" | "mover"), 2):
            return parts[0] + ("^" + _grouped(parts[1]) if kind == "msup" or len(parts[1].strip()) > 1 else parts[1].strip())
        case (("msub" | "munder"), 2):
            return parts[0] + "_" + _grouped(parts[1])
        case (("msubsup" | "munderover"), 3):
            return _scripts(*parts)
        case "msqrt", _:
            return _root("".join(parts), "")
        case "mroot", 2:
            return _root(*parts)
        case "mfenced", _:
            begin, between, end = (node.get(key, other) for key, other in (("open", "("), ("separators", ","), ("close", ")")))
            return f"{begin}{between[:1].join(parts)}{end}"
        case "mtable", _:
            return "[" + "; ".join(parts) + "]"
        case "mtr", _:
            return ", ".join(parts)
        case "mphantom", _:
            return ""
    return re.sub(" {2,}", " ", "".join(parts))


def _fraction(of: dict[str, str], kind: str) -> str:
    over, under = of.get("num", ""), of.get("den", "")
    return f"({over} choose {under})" if kind == "noBar" else f"{_grouped(over)}/{_grouped(under)}"


def _scripts(base: str, below: str, above: str) -> str:
    return base + (f"_{_grouped(below)}" if below.strip() else "") + (f"^{_grouped(above)}" if above.strip() else "")


def _root(inside: str, degree: str) -> str:
    return f"√[{degree.strip()}]({inside})" if degree.strip() else f"√({inside})"


def _grouped(text: str) -> str:
    """In parentheses, unless it is one name, number or group."""
    text = text.strip()
    return text if ATOM.fullmatch(text) and not _parted(text) else f"({text})"


def _parted(text: str) -> bool:
    """Whether an opening bracket at its beginning closes before its end: `(a)(b)`."""
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and letter in ")]}":
            return at < len(text) - 1
    return False


def _delimited(node: _Element) -> str:
    about = child(node, "m:dPr")
    begin, end, between = (
        value(about, key) if about is not None and child(about, key) is not None else otherwise
        for key, otherwise in (("m:begChr", "("), ("m:endChr", ")"), ("m:sepChr", "|"))
    )
    return begin + between.join(map(omml, children(node, "m:e"))) + end
