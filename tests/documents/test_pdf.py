"""PDF becomes text: lines that the margin broke are whole again."""

from rag.documents.pdf import read
from tests.documents.make_pdf import make_pdf


def test_a_chinese_line_is_joined_beside_a_line_of_digits_that_has_more_characters() -> None:
    page = [
        "水位：2018-06-07 06:00 529.38, 06-23 529.47。",
        "水库在册职工二十三人，其中闸门工五人，年内退休",
        "二人，新招一人。",
    ]
    assert read(make_pdf([page]), source="report.pdf").text == (
        "水位：2018-06-07 06:00 529.38, 06-23 529.47。\n"
        "水库在册职工二十三人，其中闸门工五人，年内退休二人，新招一人。"
    )
