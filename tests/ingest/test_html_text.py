"""The outline of a page survives as markdown's."""

import pytest

from mmgen.ingest.html_text import text_of
from mmgen.ingest.html_tree import parsed


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<h2>Origin <a href='#o'>¶</a></h2><p>From China.", "## Origin\n\nFrom China."),
        ("<h1>All<p>of the page is in here</h1><h2>End</h2>", "# All\n\nof the page is in here\n\n## End"),
        ("<table><tr><td><h1>Page</h1><td><table><tr><td>a<td>b</table></table>", "# Page\n\na | b"),
        ("<pre> </pre>x<pre>a<br>b</pre>", "x\n\n```\na\nb\n```"),
        ("<ol><li>one<ul><li>in</ul><li>two</ol>", "1. one\n\n- in\n2. two"),
    ],
)
def test_marks(page: str, text: str) -> None:
    assert text_of(parsed(page.encode())[0]) == text
