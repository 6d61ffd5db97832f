"""Label files as people have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.adoption.labelfile import LabelFile, for_classifier, for_detector
from edged.core.errors import ModelError

THREE = ("cat", "dog", "Ente im Teich")


def labels(data: bytes, classes: int, background: int | None = None):
    return for_classifier(LabelFile.parse(data, "l.txt"), classes, background)


@pytest.mark.parametrize(
    "data",
    [
        b"cat\ndog\nEnte im Teich",
        b"cat\ndog\nEnte im Teich\n\n\n",
        b"cat\r\ndog\r\nEnte im Teich\r\n",
        b"\xef\xbb\xbfcat\ndog\nEnte im Teich\n",
        "cat\ndog\nEnte im Teich\n".encode("utf-16"),
        b"  cat \ndog\t\nEnte  im Teich\n",
        b"cat\n\ndog\n\nEnte im Teich\n",
        b"0 cat\n1 dog\n2 Ente im Teich\n",
        b"0  cat\n1  dog\n2  Ente im Teich\n",
        b"0: cat\n1: dog\n2: Ente im Teich\n",
        b"0,cat\n1,dog\n2,Ente im Teich\n",
        b"0cat\n1dog\n2Ente im Teich\n",
        b"1 cat\n2 dog\n3 Ente im Teich\n",
        b'{"version": 1, "classes": ["cat", "dog", "Ente im Teich"]}',
        b'#pragma once\nconst char* ei_classifier_inferencing_categories_7[] = { "cat", "dog",\n "Ente im Teich" };',
    ],
)
def test_all_ways_to_write_three_labels(data):
    assert labels(data, 3).names == THREE


def test_unicode_names_stay_what_they_are():
    text = "Kätzchen\n犬\n🦔 Igel\nÉcureuil\n"
    assert labels(text.encode(), 4).names == ("Kätzchen", "犬", "🦔 Igel", "Écureuil")


def test_names_that_begin_with_numbers_are_not_numbered_lines():
    assert labels(b"7 of spades\n3 of clubs\n", 2).names == ("7 of spades", "3 of clubs")
    assert labels(b"10 euro\n20 euro\n", 2).names == ("10 euro", "20 euro")
    assert labels(b"0 points\nfull score\n", 2).names == ("0 points", "full score")
    assert labels(b"0\n1\n2\n", 3).names == ("0", "1", "2")


def test_two_of_one_name_get_a_number():
    found = labels(b"crane\ncrane (2)\ncrane\ncrane\nbackground\n???\n", 6)
    assert found.names == ("crane", "crane (2)", "crane (3)", "crane (4)", "background", "class 5")
    assert "(2)" in found.notes[-1]
    assert not found.guessed


@pytest.mark.parametrize("first", ["background", "Background", "???", "__background__"])
def test_a_background_is_known_by_its_name(first):
    found = labels(f"{first}\ncat\ndog\n".encode(), 3)
    assert found.background == 0
    assert found.names[0] == (first if first != "???" else "background")
    assert labels(f"{first}\ncat\ndog\n".encode(), 2).names == ("cat", "dog")
    assert labels(f"{first}\ncat\ndog\n".encode(), 2).guessed


def test_one_label_too_few_of_many_is_a_background():
    many = "".join(f"label {n}\n" for n in range(1000)).encode()
    found = labels(many, 1001)
    assert (found.names[:2], found.background, found.guessed) == (("background", "label 0"), 0, True)
    with pytest.raises(ModelError, match="has 1000 labels and the model 1002 outputs"):
        labels(many, 1002)


def test_one_label_too_few_of_a_few_is_a_question():
    with pytest.raises(ModelError, match=r"has 2 labels and the model 3 outputs.* or --background 0"):
        labels(b"cat\ndog\n", 3)
    assert labels(b"cat\ndog\n", 3, background=0).names == ("background", "cat", "dog")
    assert labels(b"cat\ndog\n", 3, background=2).names == ("cat", "dog", "background")


def test_a_single_output_may_have_two_labels_and_no_more():
    assert labels(b"closed\nopen\n", 1).names == ("closed", "open")
    with pytest.raises(ModelError, match="has 3 labels and the model 1 output;"):
        labels(b"a\nb\nc\n", 1)


@pytest.mark.parametrize(
    ("data", "fragment"),
    [
        (b"", "is empty"),
        (b"\n \r\n\n", "is empty"),
        (b"cat\ndo\xff\n", "is no UTF-8 text; save it as UTF-8"),
        (b"cat\ndo\x07g\n", "l.txt:2: the line cannot be shown"),
        (b"\xff\xfeabc", "is no UTF-8 text"),
        (b'{"classes": [1, 2]}', "expected one label a line, or JSON with a list of classes"),
        (b"{" * 5000, "expected one label a line"),
        (b"a\n" * 100_001, "has more than 100000 lines"),
    ],
)
def test_what_is_no_label_file(data, fragment):
    with pytest.raises(ModelError, match=r"l\.txt") as caught:
        labels(data, 3)
    assert fragment in str(caught.value)
    assert "\n" not in str(caught.value)


def detector(data: bytes, columns: int | None):
    return for_detector(LabelFile.parse(data, "l.txt"), columns).names


def test_a_detector_does_not_count_its_background():
    for data in (
        b"???\nperson\nbicycle\n",
        b"background\nperson\nbicycle\n",
        b"person\nbicycle\n",
        b"1 person\n2 bicycle\n",
    ):
        for columns in (None, 2, 3):
            assert detector(data, columns) == ("person", "bicycle")


def test_coco_has_holes():
    names = ("person", "bicycle", "class 2", "car")
    for data in (
        b"0  person\n1  bicycle\n3  car\n",
        b"person\nbicycle\n???\ncar\n",
        b"0 person\n1 bicycle\n2 n/a\n3 car\n",
    ):
        assert detector(data, 5) == names
    assert detector(b"0  person\n1  bicycle\n", 5) == ("person", "bicycle", "class 2", "class 3")


def test_eighty_names_for_ninety_classes_are_refused():
    eighty = "".join(f"thing {n}\n" for n in range(80)).encode()
    with pytest.raises(ModelError, match=r"has 80 labels and the model 90 classes; expected a line for each"):
        detector(eighty, 91)


@given(st.binary(max_size=200), st.integers(1, 9))
def test_whatever_the_bytes_labels_are_as_the_store_wants_them_or_refused(data, classes):
    try:
        names = labels(data, classes).names
    except ModelError as error:
        names, said = ("refused",), str(error)
    else:
        said = "one line"
    assert len(said.splitlines()) == 1
    assert len(set(names)) == len(names)
    assert all(name == name.strip() and name and name.isprintable() for name in names)


@given(st.lists(st.sampled_from(["a", "a (2)", "", "???", "class 1", "background"]), min_size=1, max_size=12))
def test_every_class_has_a_name_of_its_own(names):
    found = for_classifier(LabelFile(tuple(names), True, "l.txt"), len(names)).names
    assert len(set(found)) == len(found) == len(names)
    assert "" not in found
