"""The list of classes: easy to search, and what it sends is the plain name."""

from __future__ import annotations

from app.classes import known, listed
from engine.plan.labels import Labels

NAMES = ["bird", "hills", "owl", "duck", "crane", "crane", "boat"]
LABELS = Labels(NAMES, {"bird": ["owl", "duck"], "boat": []})


def test_kinds_come_first_and_things_have_their_kind_beside_them() -> None:
    texts = [text for text, _ in listed(LABELS)]
    assert texts == [
        "bird", "hills", "crane (4)", "crane (5)", "boat", "duck (bird)", "owl (bird)",
    ]  # fmt: skip


def test_what_is_sent_is_the_name_that_the_model_knows() -> None:
    values = [value for _, value in listed(LABELS)]
    assert sorted(LABELS.find(value) for value in values) == list(range(len(NAMES)))
    assert dict(listed(LABELS))["owl (bird)"] == "owl"


def test_a_thing_of_two_kinds_has_both_beside_it() -> None:
    labels = Labels(["bird", "toy", "duck"], {"bird": ["duck"], "toy": ["duck"]})
    assert listed(labels)[-1] == ("duck (bird, toy)", "duck")


def test_a_thing_that_is_told_from_its_kind_by_its_name_has_it_once() -> None:
    labels = Labels(["bird", "bird (bird)"], {"bird": ["bird (bird)"]})
    assert listed(labels) == [("bird", "bird"), ("bird (bird)", "bird (bird)")]


def test_without_members_the_list_is_in_the_models_own_order() -> None:
    assert listed(Labels(["b", "a"])) == [("b", "b"), ("a", "a")]


def test_a_label_of_a_request_is_found_in_the_list_however_it_is_spelt() -> None:
    assert known(LABELS, "Owl") == "owl" and known(LABELS, 3) == "duck"
    assert known(LABELS, 4) == "crane (4)"
    assert known(LABELS, None) == known(LABELS, "") == known(LABELS, "unicorn") == ""
    assert known(LABELS, 99) == known(LABELS, "crane") == ""


def test_a_search_by_another_name_finds_a_class() -> None:
    labels = Labels(["land vehicle", "taxi", "couch"], {"land vehicle": ["taxi"]})
    assert listed(labels) == [
        ("land vehicle", "land vehicle"), ("couch (sofa, settee)", "couch"),
        ("taxi (land vehicle, cab, car)", "taxi"),
    ]  # fmt: skip
