"""Equations as one line."""

import pytest
from lxml import etree
from office_files import M

from mmgen.ingest.formats.equations import mathml, omml


def r(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


@pytest.mark.parametrize(
    ("inside", "line"),
    [
        (r("450 + 12·n"), "450 + 12·n"),
        (f"<m:f><m:num>{r('a')}</m:num><m:den>{r('b+c')}</m:den></m:f>", "a/(b+c)"),
        (f"<m:f><m:num>{r('(a)(b)')}</m:num><m:den>{r('2')}</m:den></m:f>", "((a)(b))/2"),
        (f"<m:sSup><m:e>{r('x')}</m:e><m:sup>{r('2')}</m:sup></m:sSup>", "x^2"),
        (f"<m:sSubSup><m:e>{r('x')}</m:e><m:sub>{r('i')}</m:sub><m:sup>{r('n-1')}</m:sup></m:sSubSup>", "x_i^(n-1)"),
        (f"<m:rad><m:deg>{r('3')}</m:deg><m:e>{r('x')}</m:e></m:rad>", "√[3](x)"),
        (f'<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub>{r("i=1")}</m:sub><m:e>{r("i")}</m:e></m:nary>', "∑_(i=1) i"),
        (f'<m:d><m:dPr><m:begChr m:val="["/></m:dPr><m:e>{r("a")}</m:e><m:e>{r("b")}</m:e></m:d>', "[a|b)"),
        (f"<m:func><m:fName>{r('sin')}</m:fName><m:e>{r('x')}</m:e></m:func>", "sin x"),
        (f"<m:m><m:mr><m:e>{r('1')}</m:e><m:e>{r('0')}</m:e></m:mr><m:mr><m:e>{r('0')}</m:e></m:mr></m:m>", "[1, 0; 0]"),
        (f"<m:limLow><m:e>{r('lim')}</m:e><m:lim>{r('x→0')}</m:lim></m:limLow>", "lim_(x→0)"),
        (f"<m:eqArr><m:e>{r('a')}</m:e><m:e>{r('b')}</m:e></m:eqArr>", "a; b"),
    ],
)  # fmt: skip
def test_omml(inside: str, line: str) -> None:
    assert omml(etree.fromstring(f"<m:oMath {M}>{inside}</m:oMath>")) == line


@pytest.mark.parametrize(
    ("inside", "line"),
    [
        ("<mi>E</mi><mo>=</mo><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup>", "E = mc^2"),
        ("<mfrac><mn>1</mn><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow></mfrac>", "1/(a + b)"),
        ("<msqrt><mi>x</mi></msqrt><mroot><mi>x</mi><mn>3</mn></mroot>", "√(x)√[3](x)"),
        ("<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr></mtable>", "[1, 2]"),
        ("<semantics><mi>x</mi><annotation>y</annotation></semantics>", "x"),
        ("<munderover><mo>∑</mo><mi>i</mi><mi>n</mi></munderover>", "∑_i^n"),
    ],
)
def test_mathml(inside: str, line: str) -> None:
    assert mathml(etree.fromstring(f'<math xmlns="http://www.w3.org/1998/Math/MathML">{inside}</math>')) == line
