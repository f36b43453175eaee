"""How a set names objects of earlier sets: always below its own system, never anywhere else."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.storage import references
from backups.storage.checksums import checksums_text, parse_checksums
from backups.storage.layout import Manifest
from drcenter.errors import OperationFailed
from tests.backups.storage.test_layout import DIGEST, MANIFEST, PART

EARLIER = "20260101T030405Z-0a1b2c3d-a1"
BEFORE = "20251231T030405Z-00000000-a12"
KEY = "parts/01-shop-data.sql.zst.age"


def test_refer_and_back():
    reference = references.refer(EARLIER, KEY)
    assert reference == f"../{EARLIER}/{KEY}"
    assert (references.owner_of(reference), references.within(reference)) == (EARLIER, KEY)
    assert references.refer(BEFORE, reference) == reference
    assert (references.owner_of(KEY), references.within(KEY)) == ("", KEY)


@pytest.mark.parametrize(
    ("key", "whole"),
    [
        (KEY, f"shop/20260102T030405Z-0a1b2c3d-a2/{KEY}"),
        (f"../{EARLIER}/{KEY}", f"shop/{EARLIER}/{KEY}"),
        # No references: the destination refuses them.
        (f"../../{EARLIER}/{KEY}", f"shop/20260102T030405Z-0a1b2c3d-a2/../../{EARLIER}/{KEY}"),
        (f"../etc/{KEY}", f"shop/20260102T030405Z-0a1b2c3d-a2/../etc/{KEY}"),
    ],
)
def test_located(key, whole):
    assert references.located("shop/20260102T030405Z-0a1b2c3d-a2/", key) == whole


@given(st.text())
def test_whatever_is_no_reference_stays_in_the_folder(text):
    if not references.owner_of(text):
        assert references.located("shop/set/", text) == f"shop/set/{text}"


def with_reference(key: str = f"../{EARLIER}/{KEY}") -> Manifest:
    earlier = dataclasses.replace(PART, order=2, key=key)
    return dataclasses.replace(MANIFEST, parts=(PART, earlier))


class TestManifest:
    def test_names_the_sets_that_it_needs(self):
        manifest = with_reference()
        data = json.loads(manifest.to_bytes())
        assert (data["version"], data["needs"]) == (2, [EARLIER])
        assert Manifest.from_bytes(manifest.to_bytes()) == manifest

    def test_complete_in_itself_stays_version_1(self):
        data = json.loads(MANIFEST.to_bytes())
        assert data["version"] == 1 and "needs" not in data

    @pytest.mark.parametrize(
        "key",
        [
            f"../{MANIFEST.identifier}/{KEY}",
            f"../../other/{EARLIER}/{KEY}",
            f"../{EARLIER}/../{EARLIER}/{KEY}",
            f"../{EARLIER}/manifest.json",
            f"../{EARLIER}/{KEY}\n",
            f"/{EARLIER}/{KEY}",
        ],
    )
    def test_hostile_references_are_refused(self, key):
        with pytest.raises(OperationFailed):
            with_reference(key)


def test_checksums_name_what_is_referred_to():
    text = checksums_text({KEY: DIGEST, f"../{EARLIER}/{KEY}": DIGEST})
    assert parse_checksums(text)[f"../{EARLIER}/{KEY}"] == DIGEST
    for bad in (f"../../{EARLIER}/{KEY}", f"../{EARLIER}/../../{KEY}", "../etc/passwd"):
        with pytest.raises(OperationFailed):
            parse_checksums(f"{DIGEST}  {bad}\n")
