"""Values of forms stand beside their labels."""

from pdf_files import pdf_of, word
from reportlab.pdfgen.canvas import Canvas

from mmgen.ingest.pdf import extract
from mmgen.ingest.pdf.fields import Field, with_fields
from mmgen.ingest.pdf.recognition import Recognition


def form(canvas: Canvas) -> None:
    fields = canvas.acroForm
    for y, label, name, value in [(740, "Name of the applicant:", "applicant", "Ruth Okafor"), (700, "Born:", "born", "1984")]:
        canvas.drawString(72, y, label)
        fields.textfield(name=name, x=260, y=y - 6, width=220, height=20, value=value, borderWidth=1)
    canvas.drawString(72, 660, "I have read the terms")
    fields.checkbox(name="terms", x=260, y=654, checked=True)
    fields.checkbox(name="news", x=72, y=616, checked=False, size=12)
    canvas.drawString(90, 620, "Send me news")
    fields.choice(name="colour", x=260, y=580, width=80, height=20, value="red", options=["red", "blue"])
    canvas.drawString(72, 586, "Colour")
    fields.textfield(name="remark", tooltip="Remark", x=72, y=500, width=300, height=40, value="by night only")
    fields.textfield(name="secret", x=72, y=400, width=100, height=20, value="hunter2", fieldFlags="password")
    fields.textfield(name="empty", x=72, y=350, width=100, height=20)


def test_fields_of_every_kind() -> None:
    text, _, found, layout = extract.read(pdf_of(form), Recognition(None))
    assert text.split("\n\n") == [
        "Name of the applicant: Ruth Okafor", "Born: 1984", "I have read the terms [x]", "[ ] Send me news", "Colour red",
        "Remark: by night only",
    ]  # fmt: skip
    assert found == {}
    at = text.index("Okafor")
    spans, boxes, _ = layout[0].words()
    box = next(box for (a, b), box in zip(spans, boxes, strict=True) if a <= at < b)
    assert [round(float(x)) for x in box] == [260, 88, 480, 108], "a value is drawn where its field is"


def test_two_fields_after_one_label_keep_their_order() -> None:
    words = with_fields([word("Name:", 10, 10)], [Field("Ruth", (60, 8, 90, 22), "a"), Field("Okafor", (100, 8, 130, 22), "b")])
    assert [one.text for one in sorted(words, key=lambda one: one.x0)] == ["Name:", "Ruth", "Okafor"]


def test_a_text_box_needs_no_label() -> None:
    (found,) = with_fields([], [Field("draft", (60, 8, 90, 22))])
    assert found.text == "draft" and found.x0 < 70
