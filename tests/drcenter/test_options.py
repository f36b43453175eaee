"""Options: what a form takes, and what a row holds."""

import pytest
from django import forms

from drcenter.errors import OperationFailed
from drcenter.options import LinesField, SecretField, validated, with_defaults


class Form(forms.Form):
    host = forms.CharField(initial="localhost")
    port = forms.IntegerField(initial=3306, min_value=1)
    password = SecretField()
    tables = LinesField()
    argv = LinesField(required=True, initial=["true"])


def test_defaults_fill_what_is_not_named():
    assert with_defaults(Form, {"port": 1}) == {
        "host": "localhost", "port": 1, "password": None, "tables": None, "argv": ["true"],
    }  # fmt: skip


def test_what_is_valid_is_ready_for_json():
    options = validated(Form, {"port": "3307", "password": "env:DB", "tables": " a \n\n b c \r\n"})
    assert options == {
        "host": "localhost", "port": 3307, "password": "env:DB", "tables": ["a", "b c"], "argv": ["true"],
    }  # fmt: skip
    assert validated(Form, options) == options, "a row can be edited again"


@pytest.mark.parametrize(
    ("given", "expected"), [(None, []), ("", []), ([" a ", "", 1], ["a", "1"]), ("x\ny", ["x", "y"])]
)
def test_lines(given, expected):
    assert validated(Form, {"tables": given})["tables"] == expected


def test_lines_are_shown_as_lines():
    assert LinesField().prepare_value(["a", "b"]) == "a\nb"
    assert LinesField().prepare_value("a\nb") == "a\nb"
    assert ">\na\nb</textarea>" in str(Form(initial={"tables": ["a", "b"]})["tables"])


def test_every_fault_is_named():
    with pytest.raises(OperationFailed) as caught:
        validated(Form, {"host": "", "port": 0, "argv": []})
    assert caught.value.permanent
    for name in ("host:", "port:", "argv:"):
        assert name in caught.value.message


def test_a_secret_itself_is_refused_and_not_repeated():
    with pytest.raises(OperationFailed, match="password") as caught:
        validated(Form, {"password": "hunter2-the-password"})
    assert "hunter2" not in str(caught.value)
