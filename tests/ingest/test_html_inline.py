"""Raised and lowered text makes no other numbers, and what a form shows is read."""

import pytest
from lxml import html as library

from mmgen.ingest.html_inline import inline


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("from 10<sup>6</sup> to 10<sup>-3</sup>", "from 10^6 to 10^-3"),
        ("12 m<sup>2</sup>, x<sup>n+1</sup>, Fe<sup>3+</sup>, e<sup>x</sup>", "12 m^2, x^(n+1), Fe^3+, e^x"),
        ("the 1<sup>st</sup> and the 2<sup>e</sup>, Acme<sup>™</sup>", "the 1st and the 2e, Acme^(™)"),
        ('is fine<sup><a href="#fn1">4</a></sup>.', "is fine[4]."),
        ('is fine<a href="#fn1"><sup>4</sup></a>, or<sup class="r"><a href="#n">[5]</a></sup>', "is fine[4], or[5]"),
        ("3<sup>1</sup>/<sub>2</sub> days, <sup>3</sup>&frasl;<sub>4</sub>", "3 1/2 days, 3⁄4"),
        ("H<sub>2</sub>O, Ca(OH)<sub>2</sub>, x<sub>max</sub>, 10<sub>2</sub>", "H2O, Ca(OH)2, x_max, 10_2"),
        ("see<sub>all prices without tax</sub>", "see all prices without tax"),
        (
            'Voltage <input value="230 V" readonly><input type="password" value="x"><textarea>KX-88</textarea>',
            "Voltage 230 V KX-88",
        ),
        ("Size <select><option>S<option selected>M</select>", "Size M"),
        ("<ruby>湯<rp>(</rp><rt>ゆ</rt><rp>)</rp>沸<rt>わかし</rt></ruby>する", "湯沸(ゆわかし)する"),
        ("<math><msup><mn>10</mn><mn>6</mn></msup></math>", "10^6"),
        ("<math><mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>2</mn></mfrac></math>", "(a+b)/2"),
        ('<math alttext="\\pi r^2"><mi>π</mi></math>', "\\pi r^2"),
        ('Lights <a href="#l">¶</a>', "Lights"),
        ("one<br>two<p>three", "one two three"),
    ],
)
def test_what_stands_in_a_line(line: str, text: str) -> None:
    assert inline(library.fragment_fromstring(line, create_parent="div")) == text
