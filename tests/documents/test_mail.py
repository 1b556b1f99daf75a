"""Mail: who wrote to whom, what about, and the message."""

from email.message import EmailMessage

import pytest

from rag.documents.mail import read
from rag.documents.parsed import Parsed
from rag.errors import UnreadableDocument


def parsed(message: EmailMessage) -> Parsed:
    return read(message.as_bytes(), source="a.eml")


def a_message(body: str = "Dear all,\nthe dues rise.\n", **headers: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in ({"From": "Ann <a@x.org>", "Subject": "Dues"} | headers).items():
        message[name] = value
    message.set_content(body)
    return message


def test_headers_come_first_and_the_subject_is_title_and_section() -> None:
    found = parsed(
        a_message(To="陈江 <c@x.org>", Subject="水费 2024", Date="Mon, 01 Jan 2024 10:00:00 +0000")
    )
    assert found.text == (
        "From: Ann <a@x.org>\nTo: 陈江 <c@x.org>\nDate: Mon, 01 Jan 2024 10:00:00 +0000\n"
        "Subject: 水费 2024\n\nDear all,\nthe dues rise."
    )
    assert found.title == "水费 2024"
    assert [(s.level, s.title, s.start, s.end) for s in found.sections] == [
        (1, "水费 2024", 0, len(found.text))
    ]
    assert found.metadata == ()


def test_plain_text_is_preferred_and_html_is_read_where_there_is_no_other() -> None:
    both = a_message("plain")
    both.add_alternative("<p>rich</p>", subtype="html")
    assert parsed(both).text.endswith("\n\nplain")
    blank = a_message("\n")
    blank.add_alternative("<p>rich <b>text</b></p><script>x()</script>", subtype="html")
    assert parsed(blank).text.endswith("\n\nrich text")


@pytest.mark.parametrize("charset", ["gb2312", "big5", "utf-8"])
@pytest.mark.parametrize("cte", ["base64", "quoted-printable"])
def test_a_body_is_decoded_as_it_says(charset: str, cte: str) -> None:
    message = EmailMessage()
    message["Subject"] = "Dues"
    message.set_content("港口使用人工交水", charset=charset, cte=cte)
    assert parsed(message).text == "Subject: Dues\n\n港口使用人工交水"


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (b"=?gb2312?B?y6630Q==?=", "Subject: 水费"),
        (b"=?utf-8?q?Caf=C3=A9?=\r\n =?utf-8?q?_bar?=", "Subject: Café bar"),
        ("水费 raw".encode(), "Subject: 水费 raw"),
        (b"=?no-such?q?abc?=", "Subject: abc"),
        (b"=?utf-8?b?a?=", "Subject: =?utf-8?b?a?="),
        (b"a =?utf-8?q?b?= c", "Subject: a b c"),
    ],
)
def test_a_header_is_decoded_or_stays_as_it_is(header: bytes, shown: str) -> None:
    data = b"From: a@x.org\r\nSubject: " + header + b"\r\n\r\nbody\r\n"
    text = read(data, source="a.eml").text
    assert text == f"From: a@x.org\n{shown}\n\nbody"


def test_attachments_are_listed_by_name_and_counted() -> None:
    message = a_message("See below.")
    message.add_attachment(b"1234", maintype="application", subtype="pdf", filename="帐单.pdf")
    message.add_attachment("a,b\n", filename="b.csv", subtype="csv")
    found = parsed(message)
    assert found.text.endswith(
        "See below.\n\nAttachments:\n- 帐单.pdf (application/pdf, 4 bytes)\n"
        "- b.csv (text/csv, 4 bytes)"
    )
    assert found.metadata == (("attachments", 2),)


def test_a_forwarded_message_is_a_section_below() -> None:
    outer = a_message("See below.")
    outer.add_attachment(a_message("Inner.", Subject="First", From="b@x.org"))
    found = parsed(outer)
    assert found.text.endswith("See below.\n\nFrom: b@x.org\nSubject: First\n\nInner.")
    assert [(s.level, s.title) for s in found.sections] == [(1, "Dues"), (2, "First")]


def test_what_is_no_mail_says_so() -> None:
    with pytest.raises(UnreadableDocument, match=r"'a\.eml' is no mail: it has none of From, To"):
        read(b"Just a text.\n", source="a.eml")


def test_messages_nested_too_deep_are_refused() -> None:
    data = b"Subject: end\r\n\r\nend"
    for _ in range(30):
        data = b"Subject: more\r\nContent-Type: message/rfc822\r\n\r\n" + data
    with pytest.raises(UnreadableDocument, match="has more than 20 levels; save the messages in"):
        read(data, source="a.eml")
    data = b"Subject: end\r\n\r\nend"
    for number in range(2_000):
        kind = b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (number, number)
        data = b"Subject: more\r\n" + kind + data
    with pytest.raises(UnreadableDocument):
        read(data, source="a.eml")


def test_more_parts_than_a_letter_has_are_refused() -> None:
    data = b'Subject: x\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    data += b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n" * 1_001
    with pytest.raises(UnreadableDocument, match="has more than 1,000 parts"):
        read(data, source="a.eml")
