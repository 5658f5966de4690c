"""`mmgen eval --calibration`: a table, or JSON with the curve."""

import json
from pathlib import Path

import tiny_lm
from cli_call import Call


def test_calibration(tmp_path: Path, tiny_home: Path, call: Call) -> None:
    folder = tiny_lm.make(tmp_path / "lm")
    (folder / "chat_template.jinja").write_text("{% for one in messages %}{{ one.content[-8:] }} {% endfor %}")
    asked = tmp_path / "questions.jsonl"
    rows = [{"question": f"who {verb}", "answers": ["Ann"]} for verb in ("runs", "is", "has", "sees")]
    asked.write_text("\n".join(map(json.dumps, rows)))
    found = json.loads(call("eval", folder, "--calibration", asked, "--json").out)
    assert found["questions"] == 4 and len(found["confidences"]["likelihood"]["isotonic"]["curve"]) == 2
    assert "calibrated by half of them" in call("eval", folder, "--calibration", asked).out


def test_one_of_both(call: Call) -> None:
    found = call("eval", "embedded:books")
    assert found.code == 2 and "name either --tasks of lm-eval, or a file of questions" in found.err
