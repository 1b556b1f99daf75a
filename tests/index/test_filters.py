"""Which filters are understood, and what each leaves."""

import pytest

from rag.index.catalog import Catalog, check_where
from rag.types import Where
from tests.index.samples import a_record, write


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder = tmp_path_factory.mktemp("filters") / ".rag"
    write(
        folder,
        a_record("lease.md", "One.", metadata=(("author", "Li"), ("year", 2020))),
        a_record("contracts/a.PDF", "Two.", metadata=(("author", "李"), ("signed", True))),
        a_record("contracts/2020/b.pdf", "Three.", metadata=(("year", "2020"),)),
        a_record("contracts-old/c.txt", "Four.", metadata=(("size", 1.5),)),
        a_record("合同/租约.md", "Five."),
    )
    return Catalog(folder, write=False)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, "contracts-old/c.txt contracts/2020/b.pdf contracts/a.PDF lease.md 合同/租约.md"),
        ({"document_id": "lease.md"}, "lease.md"),
        ({"document_id": ["lease.md", "nowhere.md"]}, "lease.md"),
        ({"folder": "contracts"}, "contracts/2020/b.pdf contracts/a.PDF"),
        ({"folder": "contracts/2020/"}, "contracts/2020/b.pdf"),
        ({"folder": ["合同", "contracts-old"]}, "contracts-old/c.txt 合同/租约.md"),
        ({"folder": "contract"}, ""),
        (
            {"folder": ""},
            "contracts-old/c.txt contracts/2020/b.pdf contracts/a.PDF lease.md 合同/租约.md",
        ),
        ({"folder": "%"}, ""),
        ({"suffix": ".pdf"}, "contracts/2020/b.pdf contracts/a.PDF"),
        ({"suffix": "PDF"}, "contracts/2020/b.pdf contracts/a.PDF"),
        ({"suffix": [".pdf", ".md"], "folder": "合同"}, "合同/租约.md"),
        ({"suffix": []}, ""),
        ({"folder": []}, ""),
        ({"title": "lease.md"}, "lease.md"),
        ({"metadata.author": "李"}, "contracts/a.PDF"),
        ({"metadata.author": ["Li", "李"]}, "contracts/a.PDF lease.md"),
        ({"metadata.year": 2020}, "lease.md"),
        ({"metadata.year": "2020"}, "contracts/2020/b.pdf"),
        ({"metadata.signed": True}, "contracts/a.PDF"),
        ({"metadata.size": 1.5}, "contracts-old/c.txt"),
        ({"metadata.nothing": "Li"}, ""),
        ({"metadata.author' OR 1 --": "Li"}, ""),
    ],
)
def test_a_filter_leaves_the_documents_of_which_all_fields_hold(
    catalog: Catalog, where: Where, expected: str
) -> None:
    assert " ".join(sorted(catalog.matching(where).values())) == expected


def test_a_list_of_any_length_is_understood(catalog: Catalog) -> None:
    ids = [f"{number}.md" for number in range(40_000)]
    assert list(catalog.matching({"document_id": [*ids, "lease.md"]}).values()) == ["lease.md"]


@pytest.mark.parametrize(
    ("field", "nearest"),
    [
        ("suffx", "suffix"),
        ("author", "metadata.author"),
        ("doc_id", "document_id"),
        ("metadata.", "metadata"),
        ("1 = 1 --", "'"),
    ],
)
def test_an_unknown_field_is_refused_with_the_nearest(
    catalog: Catalog, field: str, nearest: str
) -> None:
    with pytest.raises(ValueError, match=f"no field {field!r}.*nearest is '?{nearest}"):
        check_where({field: "x"})
    with pytest.raises(ValueError, match="no field"):
        catalog.matching({field: "x"})


@pytest.mark.parametrize("value", [None, 5, ["x", None], {"a": 1}.items(), b"x"])
def test_a_value_that_is_no_text_is_refused_for_a_field_of_texts(value: object) -> None:
    with pytest.raises(TypeError, match="'title' cannot be"):
        check_where({"title": value})  # type: ignore[dict-item]
