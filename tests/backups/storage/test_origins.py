"""Where the sources were, as restore.sh reads it."""

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.storage import origins

paths = st.binary(max_size=60).map(lambda raw: raw.replace(b"\0", b"/").decode(errors="surrogateescape"))


@given(paths)
def test_a_word_is_plain_ascii_and_comes_back(text):
    word = origins.encoded(text)
    assert word.isascii() and not set(word) & set(" \"\\\n\0'`$")
    assert json.loads(json.dumps(word)) == word
    assert origins.decoded(word) == text


@pytest.mark.parametrize("shell", [["dash"], ["busybox", "sh"], ["bash", "--posix"]], ids=" ".join)
@pytest.mark.parametrize(
    "text", ["/srv/a b", "$(touch x)`y`'\"\\101%101", "ends\n\n", "/tmp/b\udcffytes-ü", "-n", ""]
)
def test_every_shell_turns_it_back(shell, text):
    decode = "printf '%b' \"$(printf '%s' \"$1\" | sed 's/%\\([0-7][0-7][0-7]\\)/\\\\0\\1/g')\""
    done = subprocess.run(
        [*shell, "-c", decode, "sh", origins.encoded(text)], capture_output=True, check=True
    )
    assert done.stdout.decode(errors="surrogateescape") == text


def test_each_part_names_the_place_of_its_source():
    nothing = {"witness": {"objects": {}}}
    lite = {"witness": {"objects": {"file mode": "640", "file owner": "33:33"}}}
    sources = {
        "db": {"place": "shop", "target": "database shop at db1:3306", **nothing},
        "list": {"place": "", "target": "output of x", **nothing},
        "lite": {"place": "/a b", "target": "SQLite", **lite},
    }
    parts = [("parts/01-db-a.sql.zst", "db"), ("parts/02-list-o.txt.zst", "list"), ("parts/03-l.zst", "lite")]
    assert origins.places(parts, sources) == {
        "parts/01-db-a.sql.zst": "shop database%040shop%040at%040db1:3306 ",
        "parts/02-list-o.txt.zst": " output%040of%040x ",
        "parts/03-l.zst": "/a%040b SQLite 640:33:33",
    }
