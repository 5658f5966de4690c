"""analogy: words nearest to a sum, of a list that is encoded once."""

from pathlib import Path

from mmgen.pipelines.analogy import analogy
from mmgen.pipelines.image import word_list
from mmgen.runtime import Runtime


def test_analogy(tiny_runtime: Runtime, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("king\nqueen\nboat\n")
    found = analogy(tiny_runtime, "king - man", among=words, k=5)
    assert {near.word for near in found.words} == {"queen", "boat"} and len(str(found).splitlines()) == 2
    assert found == analogy(tiny_runtime, ["king", "-", "man"], among=words, k=5)
    assert word_list.kept(tiny_runtime.home, tiny_runtime.config.encoder, word_list.read(words)).is_file()
