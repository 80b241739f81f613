"""Names <-> ids, with ImageNet's thousand and small planted lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RequestError
from engine.loading import load_editor
from engine.plan.labels import Labels, imagenet_names

CRANES = Labels(["crane", "hen", "Crane", "school bus", "207"])


def test_imagenet_has_a_thousand_names_in_the_official_order():
    names = imagenet_names()
    assert len(names) == 1000
    assert (names[0], names[207], names[999]) == ("tench", "Golden Retriever", "toilet paper")


def test_every_class_is_found_by_what_is_shown_for_it_and_by_its_id():
    for labels in (Labels.of_model((), 1000), CRANES):
        choices = labels.choices()
        assert len(set(map(str.casefold, choices))) == len(labels)
        for index, choice in enumerate(choices):
            assert labels.find(choice) == index
            assert labels.find(choice.upper()) == index
            assert labels.find(index) == index


def test_a_class_draws_one_of_its_members_each_in_its_turn():
    names = ["bird", "owl", "duck", "boat", "swan"]
    labels = Labels(names, {"bird": ["owl", "duck", "swan"]})
    drawn = [labels.drawn(0, seed) for seed in range(12)]
    for turn in range(0, 12, 3):
        assert sorted(drawn[turn : turn + 3]) == [1, 2, 4]
    assert len({tuple(drawn[turn : turn + 3]) for turn in range(0, 12, 3)}) > 1
    assert [labels.drawn(index, 7) for index in (1, 3)] == [1, 3]
    assert drawn == [labels.drawn(0, seed) for seed in range(12)]


def test_a_class_draws_some_of_its_members_only_where_that_is_said():
    names = ["bird", "owl", "duck", "boat", "ferry", "swan"]
    members = {"bird": ["owl", "duck", "swan"], "boat": ["ferry"]}
    labels = Labels(names, members, {"bird": ["swan", "owl"]})
    assert {labels.drawn(0, seed) for seed in range(6)} == {1, 5}
    assert {labels.drawn(3, seed) for seed in range(3)} == {4}
    assert labels.drawn(2, 0) == 2, "by its name each thing can be had"
    assert labels.members == {"bird": ("owl", "duck", "swan"), "boat": ("ferry",)}


def test_what_is_in_no_kind_is_scenery_and_models_without_kinds_do_not_say():
    labels = Labels(["bird", "owl", "hills"], {"bird": ["owl"]})
    assert [labels.is_thing(index) for index in range(3)] == [True, True, False]
    assert [labels.is_scenery(index) for index in range(3)] == [False, False, True]
    plain = Labels(["bird", "owl", "hills"])
    assert not any(plain.is_thing(index) or plain.is_scenery(index) for index in range(3))
    with pytest.raises(RequestError, match="0 to 2"):
        labels.is_thing(3)


def test_names_that_repeat_are_shown_with_their_ids():
    assert CRANES.choices() == ["crane (0)", "hen", "Crane (2)", "school bus", "207"]
    assert CRANES.display(2) == "Crane (2)"


def test_a_name_of_several_classes_is_refused_naming_them():
    with pytest.raises(RequestError, match=r"2 classes; say 'crane \(0\)' or 'Crane \(2\)'"):
        CRANES.find("CRANE")


def test_case_and_surplus_spaces_do_not_matter():
    assert CRANES.find("  School   BUS ") == 3


def test_digits_are_an_id_unless_a_class_is_called_so():
    assert CRANES.find("1") == 1
    assert CRANES.find("207") == 4


@pytest.mark.parametrize("wrong", [-1, 5, "5", "999999", True, 10**30])
def test_an_id_out_of_range_is_refused_with_the_range(wrong):
    with pytest.raises(RequestError, match="0 to 4"):
        CRANES.find(wrong)


@pytest.mark.parametrize(
    ("typed", "near"),
    [("goldn retriever", "Golden Retriever"), ("school buss", "school bus"), ("crane", "crane (")],
)
def test_an_unknown_name_brings_near_ones(typed, near):
    with pytest.raises(RequestError, match="near ones") as caught:
        Labels.of_model((), 1000).find(typed)
    assert near in str(caught.value)


def test_a_name_like_no_other_brings_a_few_examples():
    with pytest.raises(RequestError, match="5 classes, such as 'crane"):
        CRANES.find("zzzzzz")


def test_a_model_without_names_has_numbers_unless_it_is_imagenets():
    assert Labels.of_model((), 3).choices() == ["class 0", "class 1", "class 2"]
    assert Labels.of_model((), 1000).names == imagenet_names()
    assert Labels.of_model(["a", "b"], 2).choices() == ["a", "b"]


@given(st.text(max_size=200) | st.integers())
def test_any_text_or_number_is_an_id_or_one_line(label):
    try:
        assert 0 <= CRANES.find(label) < 5
    except RequestError as error:
        assert len(str(error)) < 400


@given(st.lists(st.text("ab (0123)", min_size=1, max_size=6), min_size=1, max_size=12))
def test_no_two_choices_are_the_same_whatever_the_names(names):
    labels = Labels(names)
    choices = labels.choices()
    assert len(set(choices)) == len(choices)
    for index, choice in enumerate(choices):
        assert labels.find(choice) == index


def test_the_bundled_kinds_draw_several_of_their_things():
    editor = load_editor("bundled")
    labels = editor.card.labels
    fewer = 0
    for kind, things in labels.members.items():
        drawn = {labels.names[labels.drawn(labels.find(kind), seed)] for seed in range(20)}
        assert drawn <= set(things) and len(drawn) >= min(3, len(things))
        fewer += drawn < set(things)
    assert fewer
