import re
from html import unescape

import pytest

from apps.chat import code_html


def test_words_have_the_class_of_what_they_are() -> None:
    shown = code_html.html("def f(x):\n    return x  # twice\n", "python")
    assert '<span class="hl-k">def</span>' in shown and '<span class="hl-nf">f</span>' in shown
    assert '<span class="hl-c1"># twice</span>' in shown


@pytest.mark.parametrize("language", sorted(code_html.LANGUAGES))
def test_all_of_it_is_text_of_the_page(language: str) -> None:
    code = "\n</pre><script>alert('1')</script> & \"x\"\n  <img src=x onerror=y>\n"
    shown = code_html.html(code, language)
    assert not re.findall(r'<(?!/span>|span class="hl-[A-Za-z0-9 -]+">)', shown), "spans of classes are all there is"
    assert unescape(re.sub(r"</?span[^>]*>", "", shown)) == code


def test_what_is_not_known_or_too_long_is_plain() -> None:
    assert code_html.html("<b>", "no-such-language") == code_html.html("<b>") == "&lt;b&gt;"
    assert "span" not in code_html.html("x = 1\n" * 5000, "python")
