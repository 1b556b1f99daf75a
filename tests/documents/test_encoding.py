"""Bytes become text, exactly, or an error that names the byte."""

import codecs
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rag.documents.encoding import decode
from rag.errors import UnreadableDocument

ENGLISH = (
    "The harbour dues are payable by the master before the ship leaves the berth, and the pilot "
    "is to be on board two hours before the tide turns. "
)
SIMPLIFIED = (
    "第三章　水费\r\n第十二条　用水人应当按照计量的记录按月交付水费，逾期不交的，可以催告。\r\n"
)
TRADITIONAL = (
    "第三章　水費\r\n第十二條　用水人應當按照計量的記錄按月交付水費，逾期不交的，可以催告。\r\n"
)
FRENCH = (
    "Le maître a exigé que la réunion soit déplacée à l’été, où les élèves étaient déjà passés."
)
POLISH = "Zażółć gęślą jaźń. Wczoraj poszliśmy do sklepu, żeby kupić świeże pieczywo i mleko."
RUSSIAN = "Вчера мы пошли в магазин, чтобы купить свежий хлеб и молоко, которое уже было продано."
GREEK = "Χθες πήγαμε στο κατάστημα για να αγοράσουμε φρέσκο ψωμί και γάλα, που είχε πουληθεί."
JAPANESE = "昨日、私たちは新鮮なパンと牛乳を買うために店に行きましたが、すでに売り切れていました。"
KOREAN = "어제 우리는 신선한 빵과 우유를 사러 가게에 갔지만 이미 다 팔렸습니다."


@pytest.mark.parametrize(
    ("text", "written", "told"),
    [
        ("", "utf-8", "utf-8"),
        (ENGLISH, "ascii", "utf-8"),
        (SIMPLIFIED, "utf-8", "utf-8"),
        ("a", "utf-8-sig", "utf-8-sig"),
        (SIMPLIFIED, "utf-16", "utf-16"),
        (SIMPLIFIED, "utf-16-le", "utf-16-le"),
        (SIMPLIFIED, "utf-16-be", "utf-16-be"),
        (ENGLISH, "utf-16-le", "utf-16-le"),
        (ENGLISH, "utf-16-be", "utf-16-be"),
        (SIMPLIFIED, "utf-32", "utf-32"),
        (SIMPLIFIED, "gb2312", "gb18030"),
        (SIMPLIFIED, "gbk", "gb18030"),
        (SIMPLIFIED + "🚢", "gb18030", "gb18030"),
        (TRADITIONAL, "gbk", "gb18030"),
        (TRADITIONAL, "big5", "big5"),
        (TRADITIONAL + "5 €", "cp950", "cp950"),
        (JAPANESE, "shift_jis", "cp932"),
        (JAPANESE, "euc_jp", "euc_jp"),
        (KOREAN, "euc_kr", "cp949"),
        (FRENCH, "cp1252", "cp1252"),
        (POLISH, "cp1250", "cp1250"),
        (RUSSIAN, "cp1251", "cp1251"),
        (RUSSIAN, "koi8_r", "koi8_r"),
        (RUSSIAN, "cp866", "cp866"),
        (GREEK, "cp1253", "cp1253"),
    ],
)
def test_an_encoding_is_told_from_the_bytes(text: str, written: str, told: str) -> None:
    data = text.encode(written)
    assert decode(data, source="x.txt") == (text, told)
    assert text.encode(told) == data


@pytest.mark.parametrize(
    "text",
    [
        "张三\n李四\n王五",
        "A 中 B",
        "ISO 9001 标准",
        "《砚溪县志》（一）",
        "鹈鹕、鹭鸶、鹦鹉",
        ENGLISH * 20 + "报告",
    ],
)
def test_a_few_chinese_characters_tell_gb18030(text: str) -> None:
    assert decode(text.encode("gbk"), source="names.txt") == (text, "gb18030")


@pytest.mark.parametrize(
    "text",
    ["café", "25 °C", "The fee is £5.00 per ton", "it’s", "a – b", "“quoted”", "©2020", "Ångström"],
)
def test_a_few_western_letters_and_signs_tell_cp1252(text: str) -> None:
    assert decode(text.encode("cp1252"), source="x.txt") == (text, "cp1252")


def test_pounds_and_dashes_in_a_short_english_text_are_no_letters_of_another_language() -> None:
    text = (
        "The fee is £40 per day — naïve estimates said £35. Mr. Smith paid 3.5 per cent on 1 May."
    )
    assert decode(text.encode("cp1252"), source="x.txt") == (text, "cp1252")


@pytest.mark.parametrize("word", ["São Paulo", "Łódź", "naïve", "ÿ", "±5 °C", "Straße", "9 €"])
def test_one_foreign_word_in_a_long_english_text_is_told_by_its_letters(word: str) -> None:
    encoding = "cp1250" if word == "Łódź" else "cp1252"
    text = ENGLISH * 5 + word
    assert decode(text.encode(encoding), source="x.txt") == (text, encoding)


def test_what_is_written_without_a_mark_in_utf_16_may_hold_a_few_foreign_signs() -> None:
    text = ENGLISH * 3 + "9 € → 测"
    assert decode(text.encode("utf-16-le"), source="x.txt") == (text, "utf-16-le")
    assert decode(text.encode("utf-16-be"), source="x.txt") == (text, "utf-16-be")


@given(
    st.text(
        st.one_of(
            st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
            st.sampled_from("Harbour dues 水费第十二条，。\r\n\ufeff\ufffd🚢👩‍✈️"),
        )
    ),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)
@example("\ufeff\r\n", "utf-8-sig")
@example("<|endoftext|>", "utf-8")
def test_unicode_text_comes_back_character_for_character(text: str, encoding: str) -> None:
    data = text.encode(encoding)
    marked = encoding != "utf-8" or text.startswith("\ufeff")
    found, told = decode(data, source="x.txt")
    assert found == (text if encoding != "utf-8" else text.removeprefix("\ufeff"))
    assert told == ("utf-8-sig" if marked and encoding == "utf-8" else encoding)
    assert found.encode(told) == data


@given(
    st.binary(), st.sampled_from([None, "gbk", "big5", "shift_jis", "latin-1", "utf-16", "koi8-r"])
)
def test_whatever_is_decoded_is_decoded_to_the_last_byte(data: bytes, declared: str | None) -> None:
    try:
        text, encoding = decode(data, source="x", declared=declared)
    except UnreadableDocument:
        return
    assert data.decode(encoding) == text
    assert ("\ufffd" in text) == ("\ufffd" in data.decode(encoding, errors="ignore"))


@given(
    st.lists(
        st.sampled_from([ENGLISH, SIMPLIFIED, "供水人催告后中止供水。", "§ 5\n", "\r\n"]),
        max_size=4,
    ),
    st.sampled_from(["gb18030", "utf-16-le", "utf-16-be"]),
)
def test_what_is_told_without_a_mark_gives_back_the_file(parts: list[str], encoding: str) -> None:
    data = "".join([SIMPLIFIED, *parts]).encode(encoding)
    text, told = decode(data, source="x.txt")
    assert (text.encode(told), told) == (data, encoding)


def test_a_byte_order_mark_is_no_text_at_the_start_and_text_elsewhere() -> None:
    assert decode(codecs.BOM_UTF8 + "a\ufeffb".encode(), source="x") == ("a\ufeffb", "utf-8-sig")
    assert decode(codecs.BOM_UTF8 * 2, source="x") == ("\ufeff", "utf-8-sig")
    data = "\ufeff水\ufeff".encode("utf-16-le")
    assert decode(data, source="x") == ("水\ufeff", "utf-16")


def test_utf_16_with_the_mark_of_the_other_byte_order_is_read() -> None:
    data = codecs.BOM_UTF16_BE + SIMPLIFIED.encode("utf-16-be")
    assert decode(data, source="x.txt") == (SIMPLIFIED, "utf-16")


def test_a_replacement_character_that_stands_in_the_file_is_text() -> None:
    assert decode("水\ufffd费".encode(), source="x.txt") == ("水\ufffd费", "utf-8")
    text = SIMPLIFIED + "\ufffd"
    assert decode(text.encode("gb18030"), source="x.txt") == (text, "gb18030")


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        ("水费按月交付。".encode() * 5 + "水".encode()[:2], 105),
        ("naïve café ".encode() * 20 + b"\xff and so on", 260),
        ("plain text, then é".encode()[:-1], 17),
        (codecs.BOM_UTF8 + b"abc\xff", 6),
        (codecs.BOM_UTF16_LE + b"a\0b", 4),
        (codecs.BOM_UTF16_LE + b"\x00\xd8a\0", 2),
    ],
)
def test_a_damaged_file_is_told_so_with_the_byte(data: bytes, offset: int) -> None:
    with pytest.raises(UnreadableDocument, match=rf"'x\.txt'.*byte {offset} is not valid") as told:
        decode(data, source="x.txt")
    assert told.value.source == "x.txt"
    assert "convert the file to UTF-8" in str(told.value)


def test_damaged_chinese_of_another_encoding_is_never_taken_for_a_third() -> None:
    for damaged in (SIMPLIFIED.encode("gbk")[:-3], TRADITIONAL.encode("big5")[:-3]):
        with pytest.raises(UnreadableDocument):
            decode(damaged * 2, source="x.txt")


@pytest.mark.parametrize(
    "data",
    [
        b"text with a \0 in it",
        b"padded" + bytes(100),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        random.Random(1).randbytes(5000),
        bytes(byte or 1 for byte in random.Random(2).randbytes(5000)),
        codecs.BOM_UTF16_LE + "a\0b".encode("utf-16-le"),
        codecs.BOM_UTF8 + b"a\0b",
        "水\0费".encode("utf-16-le") * 20,
        bytes(range(1, 9)) * 20 + b"\0\0",
        b"\x81\x8d\x8f\x90\x9d" * 3,
    ],
)
def test_a_binary_file_is_no_text(data: bytes) -> None:
    with pytest.raises(UnreadableDocument, match=r"is not text|cannot be decoded"):
        decode(data, source="x.txt")


@pytest.mark.parametrize("text", ["Привет", "…", "±5", "水费"])
def test_what_is_too_short_to_tell_is_refused_rather_than_guessed(text: str) -> None:
    encoding = {"Привет": "cp1251", "水费": "utf-16-le"}.get(text, "cp1252")
    with pytest.raises(UnreadableDocument):
        decode(text.encode(encoding), source="x.txt")


@pytest.mark.parametrize(
    ("text", "label", "told"),
    [
        ("龘靐", "GBK", "gb18030"),
        ("水費", "Big5", "cp950"),
        ("昨日", "Shift_JIS", "cp932"),
        ("昨日", "ISO-2022-JP", "iso2022_jp"),
        ("우유", "EUC-KR", "cp949"),
        ("Привет", "windows-1251", "cp1251"),
        ("“café”", "ISO-8859-1", "cp1252"),
        ("şey", "iso-8859-9", "cp1254"),
    ],
)
def test_what_a_file_says_of_itself_is_believed_where_the_bytes_fit(
    text: str, label: str, told: str
) -> None:
    assert decode(text.encode(told), source="x.html", declared=label) == (text, told)


@pytest.mark.parametrize("label", ["nonsense", "utf-8", "utf-16", "hex", "rot13", "x-user-defined"])
def test_a_declaration_that_cannot_be_true_is_passed_over(label: str) -> None:
    assert decode(b"plain", source="x.html", declared=label) == ("plain", "utf-8")
    data = SIMPLIFIED.encode("gbk")
    assert decode(data, source="x.html", declared=label) == (SIMPLIFIED, "gb18030")


@pytest.mark.parametrize("label", ["gb2312", "big5", "Shift_JIS", "euc-kr", "windows-1252"])
def test_utf_8_is_recognised_under_another_declaration(label: str) -> None:
    assert decode("水费".encode(), source="x.html", declared=label) == ("水费", "utf-8")


def test_a_declared_encoding_that_the_bytes_do_not_fit_is_guessed() -> None:
    assert decode(b"caf\xe9", source="x.html", declared="big5") == ("café", "cp1252")
    assert decode(RUSSIAN.encode("cp1251"), source="x", declared="ascii") == (RUSSIAN, "cp1251")


def test_the_part_that_is_judged_is_where_the_foreign_letters_are() -> None:
    text = ENGLISH * 300 + RUSSIAN * 30
    assert decode(text.encode("cp1251"), source="x.txt") == (text, "cp1251")
