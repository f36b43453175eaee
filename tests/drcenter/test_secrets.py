"""Secrets: they arrive where they are needed, and show up nowhere else."""

import copy
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drcenter.errors import OperationFailed
from drcenter.secrets import REDACTED, Secret, is_reference, redact, resolve

VALUE = "correct-horse-battery"


@pytest.mark.parametrize(
    "shown",
    [repr, str, lambda secret: f"{secret}", lambda secret: f"{secret!r:>40}", "{}".format, "%s".__mod__,
     lambda secret: repr([secret]), lambda secret: repr({"password": secret})],
)  # fmt: skip
def test_it_never_prints(shown):
    text = shown(Secret(VALUE))
    assert VALUE not in text
    assert REDACTED in text


@pytest.mark.parametrize("leave", [pickle.dumps, copy.deepcopy, json.dumps])
def test_it_never_leaves_the_process(leave):
    with pytest.raises(TypeError) as caught:
        leave(Secret(VALUE))
    assert VALUE not in str(caught.value)


def test_it_reveals_itself_when_asked():
    assert Secret(VALUE).reveal() == VALUE
    assert Secret(VALUE) == Secret(VALUE) != Secret("other")
    assert Secret(VALUE) != VALUE
    assert len({Secret(VALUE), Secret(VALUE)}) == 1
    assert not Secret("")
    assert Secret("x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("env:DB_PASSWORD", True), ("file:/run/secrets/db", True), ("", False), ("hunter2", False),
        ("env:", False), ("env:1X", False), ("env:A B", False), ("file:relative", False), ("ENV:X", False),
    ],
)  # fmt: skip
def test_references(text, expected):
    assert is_reference(text) is expected


def test_a_reference_leads_to_its_value(monkeypatch, tmp_path):
    monkeypatch.setenv("DRC_TEST_SECRET", VALUE)
    (tmp_path / "secret").write_text(VALUE + "\r\n")
    assert resolve("env:DRC_TEST_SECRET").reveal() == VALUE
    assert resolve(f"file:{tmp_path}/secret").reveal() == VALUE
    assert resolve("").reveal() == ""


def test_a_reference_that_leads_nowhere_is_told(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    cases = {
        "env:DRC_TEST_NOT_SET": "DRC_TEST_NOT_SET is not set",
        f"file:{tmp_path}/none": "No such file",
        f"file:{tmp_path}": "Is a directory",
        f"file:{tmp_path}/binary": "it is not text",
    }
    for reference, message in cases.items():
        with pytest.raises(OperationFailed, match=message) as caught:
            resolve(reference)
        assert caught.value.permanent
        assert caught.value.hint
        assert caught.value.__cause__ is None, "the chain of errors could hold what was read"


def test_a_value_in_the_place_of_a_reference_is_refused_unseen():
    with pytest.raises(OperationFailed) as caught:
        resolve("hunter2-the-password")
    assert "hunter2" not in str(caught.value)


def test_redaction():
    Secret(VALUE)
    Secret(VALUE + "-longer")
    assert redact(f"login {VALUE}, again {VALUE}-longer!") == f"login {REDACTED}, again {REDACTED}!"
    assert redact("mysql://app:p4ss@db:3306/app") == f"mysql://app:{REDACTED}@db:3306/app"
    assert redact("redis://:p4ss@cache/0") == f"redis://:{REDACTED}@cache/0"
    assert redact("https://example.org/a:b@c") == "https://example.org/a:b@c"


def test_what_no_database_takes_is_written_out():
    assert redact("fil\udcff\0.txt: ü is fine") == "fil\\udcff\\0.txt: ü is fine"
    # As it stands in a variable of the environment that is not UTF-8.
    Secret("word\udcff-of-old")
    assert redact("login word\udcff-of-old!") == f"login {REDACTED}!"


def test_a_key_of_several_lines_is_redacted_line_by_line():
    Secret("-----BEGIN KEY-----\nMIIEvQIBADANBg\n}\n")
    assert redact("error near MIIEvQIBADANBg }") == f"error near {REDACTED} }}"


@settings(database=None)
@given(st.text(min_size=4, alphabet=st.characters(categories=["L", "N"])), st.text(), st.text())
def test_a_known_value_is_never_in_a_redacted_text(value, before, after):
    Secret(value)
    assert value not in redact(before + value + after).replace(REDACTED, "")


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """What these tests make known must not redact the texts of others."""
    monkeypatch.setattr("drcenter.secrets._known", set())
