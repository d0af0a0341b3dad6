"""Names in one form, none reserved, variants told."""

import pytest

from labelbeam.errors import InputError
from labelbeam.labels.names import clean, refuse_reserved, variants_note


def test_names_are_composed_and_trimmed_of_every_kind_of_blank():
    assert clean("\u3000か\u3099\u00a0") == "が"


@pytest.mark.parametrize("label", ["<end>", "<END>", "<start>", "<pad>", "<unk>"])
def test_the_name_of_a_special_token_is_no_label(label):
    with pytest.raises(InputError, match="special token") as error:
        refuse_reserved(["cat", label], "a.csv")
    assert repr(label) in str(error.value)


def test_case_and_width_variants_are_noted():
    assert "'Dog' and 'dog'" in variants_note(["Dog", "dog"])[0]
    assert "'ｶﾒﾗ'" in variants_note(["カメラ", "ｶﾒﾗ"])[0]
    assert variants_note(["cat", "dog"]) == ()


@pytest.mark.parametrize("name", ["ca\nt", "do\0g", "a\ta"])
def test_a_name_with_a_line_break_or_the_like_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="control character"):
        refuse_reserved(["cat", name], "a.csv")


@pytest.mark.parametrize(
    "name", ["\ufeff", "\u200d\u2060", "\u00ad", "\u3164", "\u115f\u1160", "\uffa0", "\u2800\u2800"]
)
def test_a_name_of_which_nothing_can_be_seen_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="nothing can be seen"):
        refuse_reserved(["cat", name], "a.csv")
    refuse_reserved(["cat", f"{name}한"], "a.csv")
