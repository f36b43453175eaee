"""The witness: equal means proven, and every difference is named."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backups.witness import Content, Witness, differences

BASE = Witness(
    {"table a": "CREATE TABLE a", "grant x": "SELECT"}, {"a": Content(2, "ff"), "b": Content(0, "00")}
)


def changed(**fields) -> Witness:
    return Witness(**({"objects": BASE.objects, "contents": BASE.contents, "ignored": BASE.ignored} | fields))


@pytest.mark.parametrize(
    ("restored", "expected"),
    [
        (BASE, []),
        (changed(objects={"table a": "CREATE TABLE a"}), ["grant x: missing after the restore"]),
        (changed(objects=BASE.objects | {"view v": "SELECT 1"}), ["view v: not in the source"]),
        (changed(objects=BASE.objects | {"table a": "CREATE TABLE A"}), ["table a: definition differs"]),
        (changed(contents={"a": Content(2, "ff")}), ["b: missing after the restore"]),
        (changed(contents=BASE.contents | {"c": Content(1, "11")}), ["c: not in the source"]),
        (changed(contents=BASE.contents | {"a": Content(1, "ff")}), ["a: 2 in the source, 1 after the restore"]),
        (changed(contents=BASE.contents | {"a": Content(2, "fe")}), ["a: same count (2), other contents"]),
        (changed(ignored={"a": "only the restored place leaves it out"}), []),
        (
            Witness({}, {}, {"a": "what the restored place leaves out is missing all the same"}),
            ["grant x: missing after the restore", "table a: missing after the restore",
             "a: missing after the restore", "b: missing after the restore"],
        ),
    ],
)  # fmt: skip
def test_differences(restored, expected):
    assert differences(BASE, restored) == expected


def test_what_the_source_could_not_compare_is_left_out():
    source = changed(ignored={"a": "kept changing", "grant x": "cannot be seen"})
    restored = Witness({"table a": "CREATE TABLE a"}, {"b": Content(0, "00")})
    assert differences(source, restored) == []


names = st.text(max_size=8)
contents = st.builds(Content, st.integers(min_value=0), st.text("0123456789abcdef", max_size=4))
witnesses = st.builds(
    Witness,
    st.dictionaries(names, names, max_size=5),
    st.dictionaries(names, contents, max_size=5),
    st.dictionaries(names, names, max_size=2),
)


@settings(database=None)
@given(witnesses)
def test_a_witness_equals_itself_also_after_json(witness):
    again = Witness.from_json(json.loads(json.dumps(witness.as_json())))
    assert again == witness
    assert differences(witness, again) == []


@settings(database=None)
@given(witnesses, witnesses)
def test_no_difference_is_silent(one, other):
    """Whatever differs and is not ignored is named in one line each."""
    lines = differences(one, other)
    objects = {
        name
        for name in one.objects.keys() | other.objects.keys()
        if one.objects.get(name) != other.objects.get(name)
    }
    tables = {
        name
        for name in one.contents.keys() | other.contents.keys()
        if one.contents.get(name) != other.contents.get(name)
    }
    named = [name for name in sorted(objects) if name not in one.ignored]
    named += [name for name in sorted(tables) if name not in one.ignored]
    assert len(lines) == len(named)
    assert all(line.startswith(f"{name}: ") for line, name in zip(lines, named, strict=True))


@settings(database=None)
@given(witnesses, witnesses)
def test_differences_are_seen_from_both_sides(one, other):
    one, other = Witness(one.objects, one.contents), Witness(other.objects, other.contents)
    assert len(differences(one, other)) == len(differences(other, one))


def test_names_of_any_bytes_survive_json():
    name = b"\xff\xfe".decode("utf-8", "surrogateescape")
    witness = Witness({}, {name: Content(1, "a")}, {name: "x"})
    assert Witness.from_json(json.loads(json.dumps(witness.as_json()))) == witness
