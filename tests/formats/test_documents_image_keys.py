"""Names of image files in one notation, the same wherever they were written."""

import pytest

from labelbeam.errors import InputError
from labelbeam.formats.documents import image_key, is_file_name, plain_path


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("a.jpg", "a.jpg"),
        ("./x/a.jpg", "x/a.jpg"),
        (".\\x\\a.jpg", "x/a.jpg"),
        ("C:\\x\\a.jpg", "C:/x/a.jpg"),
        ("gs://bucket/x/a.jpg", "x/a.jpg"),
        ("https://host:80/a b.jpg", "a b.jpg"),
        ("犬/が.jpg", "犬/が.jpg"),
        ("/photos/a.jpg", "/photos/a.jpg"),
        ("x" * 251 + ".jpg", "x" * 251 + ".jpg"),
        (("x" * 60 + "/") * 9 + "a.jpg", ("x" * 60 + "/") * 9 + "a.jpg"),
    ],
)
def test_a_name_becomes_a_key_with_forward_slashes(written, key):
    assert image_key(written, "list.txt, line 1") == plain_path(written) == key


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "line 7: the image is empty"),
        ("./", "line 7: the image is empty"),
        ("s3://bucket/", "line 7: the image is empty"),
        ("x/", "line 7: 'x/' is no name"),
        ("a\0.jpg", r"line 7: 'a\\x00.jpg' is no name"),
        ("\udcff.jpg", r"line 7: '\\udcff.jpg' is no name"),
        ("x" * 252 + ".jpg", "line 7: 'x{80}' is no name"),
        ("犬" * 84 + ".jpg", "line 7: '犬{80}' is no name"),
        ("x/" * 300 + "a.jpg", "is no name"),
    ],
)
def test_what_no_file_can_be_called_is_refused(written, words):
    assert not is_file_name(plain_path(written))
    with pytest.raises(InputError, match=words):
        image_key(written, "list.txt, line 7")
