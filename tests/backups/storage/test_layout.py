"""Names and manifest of a set: what is written is read back, and nothing else is taken for one."""

import dataclasses
import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.storage import layout
from backups.storage.checksums import checksums_text, parse_checksums
from backups.storage.layout import Identifier, Manifest, ManifestPart, Predecessor, StoredObject
from drcenter.errors import OperationFailed
from drcenter.process import Command, run

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
DIGEST = "0123456789abcdef" * 4
PART = ManifestPart(
    order=1, name="data", key="parts/01-shop-data.sql.zst.age", source="Shop", engine="mariadb", tier="database",
    suffix="sql", plain_size=1000, stored_size=100, stored_sha256=DIGEST,
)  # fmt: skip
MANIFEST = Manifest(
    system="shop", system_name="Der Läden", identifier="20260102T030405Z-0a1b2c3d-a2", attempt=2, plan="Nightly",
    reason="schedule", started_at=NOW, moment=NOW + timedelta(seconds=1), finished_at=NOW + timedelta(minutes=5),
    product="0.1.0", details=StoredObject("details.json.zst.age", 50, DIGEST), parts=(PART,),
    recipients=("age1example",), signing_key=DIGEST, tools={"mariadb-dump": "10.11.6"},
)  # fmt: skip


class TestNames:
    def test_of_an_attempt(self):
        text = layout.new_identifier(NOW, 3)
        found = Identifier.parse(text)
        assert text.startswith("20260102T030405Z-") and text.endswith("-a3")
        assert found is not None and str(found) == text
        assert (found.attempt, found.began_at) == (3, NOW.replace(microsecond=0))
        assert layout.new_identifier(NOW, 3) != text

    def test_of_an_attempt_in_another_zone(self):
        berlin = NOW.astimezone(timezone(timedelta(hours=1)))
        assert layout.new_identifier(berlin, 1).startswith("20260102T030405Z-")

    @pytest.mark.parametrize(
        ("arguments", "encrypted", "key"),
        [
            ((1, "shop-db", "data", "sql"), True, "parts/01-shop-db-data.sql.zst.age"),
            ((12, "Größe & Maße", "globals", "sql"), False, "parts/12-groe-mae-globals.sql.zst"),
            ((123, "../../etc", "a/b", "tar"), True, "parts/123-etc-a-b.tar.zst.age"),
            ((2, "x", "y", "SQLite 3"), True, "parts/02-x-y.sqlite3.zst.age"),
        ],
    )
    def test_of_parts(self, arguments, encrypted, key):
        assert layout.part_key(*arguments, encrypted=encrypted) == key

    @given(st.integers(1, 99_999), st.text(), st.text(), st.text(), st.booleans())
    def test_of_parts_are_safe_whatever_they_are_made_of(self, order, source, part, suffix, encrypted):
        key = layout.part_key(order, source, part, suffix, encrypted=encrypted)
        assert layout.PART.fullmatch(key) and key.isascii()
        assert parse_checksums(checksums_text({key: DIGEST})) == {key: DIGEST}

    @given(st.text())
    def test_slugs(self, text):
        found = layout.slug(text)
        assert 1 <= len(found) <= 40 and layout.slug(found) == found
        assert set(found) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")

    def test_slugs_of_what_has_no_letters_differ(self):
        assert layout.slug("数据") != layout.slug("資料")


class TestKeys:
    def test_of_a_set(self):
        found = layout.locate(MANIFEST.prefix + PART.key)
        assert found is not None
        assert (found.system, found.identifier, found.name) == ("shop", MANIFEST.identifier, PART.key)
        assert found.prefix == MANIFEST.prefix

    @pytest.mark.parametrize(
        "key",
        [
            "", "manifest.json", "shop/manifest.json", "shop/20260102T030405Z-0a1b2c3d-a2", "shop/notes/a.txt",
            "shop/20260102T030405Z-0a1b2c3d-a2/", "shop/20260102T030405Z-0A1B2C3D-a2/manifest.json",
            "shop/20261302T030405Z-0a1b2c3d-a2/manifest.json", "shop/20260102T030405Z-0a1b2c3d-a0/manifest.json",
            "../20260102T030405Z-0a1b2c3d-a2/manifest.json", "/shop/20260102T030405Z-0a1b2c3d-a2/manifest.json",
            "shop/20260102T030405Z-0a1b2c3d-a2 copy/manifest.json", "lost+found/x/y",
            "shop/٢٠260102T030405Z-0a1b2c3d-a2/manifest.json",
        ],
    )  # fmt: skip
    def test_of_foreign_files(self, key):
        assert layout.locate(key) is None

    def test_sets_among_foreign_files(self):
        first, second = "20260102T030405Z-0a1b2c3d-a1", "20260102T030405Z-0a1b2c3d-a2"
        keys = sorted([
            "README", f"crm/{first}/manifest.json", f"shop/{first}/parts/01-a-b.sql.zst", f"shop/{second}/manifest.json",
            f"shop/{second}/log.txt", "shop/notes.txt", "zz/top/secret",
        ])  # fmt: skip
        found = list(layout.find_sets(keys))
        assert [(one.prefix, one.complete) for one in found] == [
            (f"crm/{first}/", True), (f"shop/{first}/", False), (f"shop/{second}/", True),
        ]  # fmt: skip
        assert found[2].names == {"log.txt", "manifest.json"}


class TestChecksums:
    def test_sha256sum_reads_them(self, tmp_path):
        contents = {"parts/01-a-b.sql.zst": b"part", "restore.sh": b"script", "manifest.json": b"{}"}
        (tmp_path / "parts").mkdir()
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        (tmp_path / layout.CHECKSUMS).write_text(checksums_text(digests))
        command = Command(("sha256sum", "--strict", "-c", layout.CHECKSUMS), directory=str(tmp_path))
        assert run(command).stdout.decode().splitlines() == [f"{name}: OK" for name in sorted(contents)]
        (tmp_path / "restore.sh").write_bytes(b"scripT")
        assert run(command, check=False).code == 1

    @given(
        st.dictionaries(
            st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9.-]{0,8}[a-z0-9])?", fullmatch=True),
            st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
        )
    )
    def test_round_trip(self, digests):
        assert parse_checksums(checksums_text(digests)) == digests

    @pytest.mark.parametrize("name", ["a b", "a\nb", "ä", "", "a\\b"])
    def test_odd_names_are_never_written(self, name):
        with pytest.raises(ValueError, match="no line"):
            checksums_text({name: DIGEST})

    @pytest.mark.parametrize(
        "line",
        ["rubbish", DIGEST, f"{DIGEST} a", f"{DIGEST}  ../a", f"{DIGEST}  /etc/passwd", f"{DIGEST}  a/../b", f"{DIGEST.upper()}  a",
         f"{DIGEST}  a\n{DIGEST}  a", "", f"\\{DIGEST}  a"],
    )  # fmt: skip
    def test_damaged_ones_are_refused(self, line):
        with pytest.raises(OperationFailed, match="damaged in line"):
            parse_checksums(f"{DIGEST}  good\n{line}\n")


SINCE_THE_FIRST = {"number", "predecessor", "time_zone"}
texts = st.text(max_size=30)
times = st.datetimes(timezones=st.just(UTC))
sizes = st.integers(0, 1 << 60)
digests = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)


@st.composite
def manifests(draw):
    recipients = tuple(draw(st.lists(st.text(min_size=1, max_size=70), max_size=3)))
    encrypted = bool(recipients)
    orders = draw(st.lists(st.integers(1, 99_999), unique=True, max_size=5))
    parts = [
        ManifestPart(
            order=order, name=draw(texts), key=layout.part_key(order, draw(texts), draw(texts), draw(texts), encrypted=encrypted),
            source=draw(texts), engine=draw(texts), tier=draw(texts), suffix=draw(texts), plain_size=draw(sizes),
            stored_size=draw(sizes), stored_sha256=draw(digests),
        )
        for order in sorted(orders)
    ]  # fmt: skip
    attempt = draw(st.integers(1, 999_999))
    return Manifest(
        system=draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)), system_name=draw(texts),
        identifier=layout.new_identifier(NOW, attempt), attempt=attempt, plan=draw(texts), reason=draw(texts),
        started_at=draw(times), moment=draw(times), finished_at=draw(times), product=draw(texts),
        details=StoredObject(layout.details_key(encrypted=encrypted), draw(sizes), draw(digests)),
        parts=tuple(parts), recipients=recipients, capped=draw(st.booleans()), signing_key=draw(texts),
        tools=draw(st.dictionaries(texts, texts, max_size=3)), number=draw(st.integers(0, 1 << 40)),
        predecessor=draw(st.none() | st.builds(Predecessor, st.just(layout.new_identifier(NOW, attempt)), digests)),
        time_zone=draw(texts), spread=draw(st.none() | st.floats(0, 1e6)),
    )  # fmt: skip


class TestManifest:
    @given(manifests())
    def test_round_trip(self, manifest):
        content = manifest.to_bytes()
        assert Manifest.from_bytes(content) == manifest
        assert Manifest.from_bytes(content).to_bytes() == content
        assert content.isascii()

    def test_parts_are_in_the_order_of_the_restore(self):
        second = dataclasses.replace(PART, order=2, key="parts/02-shop-files.tar.zst.age")
        backwards = dataclasses.replace(MANIFEST, parts=(second, PART))
        assert [part.order for part in Manifest.from_bytes(backwards.to_bytes()).parts] == [1, 2]
        assert backwards.to_bytes() == dataclasses.replace(MANIFEST, parts=(PART, second)).to_bytes()

    def test_what_is_in_the_clear(self):
        """The list of fields is a promise: no name of a table, no plain digest."""
        data = json.loads(MANIFEST.to_bytes())
        assert sorted(data) == [
            "attempt", "capped", "details", "encrypted", "finished_at", "moment", "number", "parts", "plan", "predecessor",
            "product", "reason", "recipients", "set", "signing_key", "started_at", "system", "system_name", "time_zone",
            "tools", "version",
        ]  # fmt: skip
        assert sorted(data["parts"][0]) == [
            "encrypted", "engine", "key", "name", "order", "plain_size", "source", "stored_sha256", "stored_size",
            "suffix", "tier",
        ]  # fmt: skip
        assert data["moment"] == "2026-01-02T03:04:06.678000Z"

    def test_every_field_is_in_the_documentation(self):
        page = (Path(__file__).parents[3] / "docs/set-format.md").read_text()
        data = json.loads(MANIFEST.to_bytes())
        names = {*data, *data["parts"][0], *data["details"]}
        assert sorted(name for name in names if f"`{name}`" not in page) == []

    def test_times_of_other_zones_are_written_in_utc(self):
        berlin = dataclasses.replace(
            MANIFEST, moment=MANIFEST.moment.astimezone(timezone(timedelta(hours=1)))
        )
        assert berlin.to_bytes() == MANIFEST.to_bytes()

    def test_unknown_fields_are_ignored(self):
        data = json.loads(MANIFEST.to_bytes())
        data["new"] = data["parts"][0]["new"] = {"x": 1}
        assert Manifest.from_bytes(json.dumps(data).encode()) == MANIFEST

    def test_a_newer_format_is_refused_with_a_sentence(self):
        data = {**json.loads(MANIFEST.to_bytes()), "version": 3, "parts": "other"}
        with pytest.raises(
            OperationFailed, match="format 3; this version of the product reads up to 2"
        ) as caught:
            Manifest.from_bytes(json.dumps(data).encode())
        assert "RESTORE.md" in caught.value.hint and caught.value.permanent

    @pytest.mark.parametrize(
        "content",
        [b"", b"null", b"[]", b"{}", b"\xff", b"{", b'"x"', b"1e999", b"[" * 100_000, b" " * (17 << 20)],
    )
    def test_garbage_is_refused(self, content):
        with pytest.raises(OperationFailed, match="not the manifest"):
            Manifest.from_bytes(content)

    @given(st.binary(max_size=200))
    def test_any_bytes_are_refused_or_read(self, content):
        with pytest.raises(OperationFailed):
            Manifest.from_bytes(content)

    @given(
        st.sampled_from(sorted(json.loads(MANIFEST.to_bytes()))),
        st.sampled_from([None, 1.5, "x", [], {}, -1, [1], {"a": 1}]),
    )
    def test_a_field_of_the_wrong_kind_is_refused_or_fits(self, name, value):
        data = {**json.loads(MANIFEST.to_bytes()), name: value}
        try:
            assert json.loads(Manifest.from_bytes(json.dumps(data).encode()).to_bytes())[name] == value
        except OperationFailed as error:
            assert error.permanent

    def test_the_first_sets_have_no_number_and_no_zone(self):
        data = json.loads(MANIFEST.to_bytes())
        for name in SINCE_THE_FIRST:
            del data[name]
        manifest = Manifest.from_bytes(json.dumps(data).encode())
        assert (manifest.number, manifest.predecessor, manifest.time_zone) == (0, None, "UTC")

    @pytest.mark.parametrize("name", sorted(json.loads(MANIFEST.to_bytes()).keys() - SINCE_THE_FIRST))
    def test_a_field_that_is_missing_is_refused(self, name):
        data = json.loads(MANIFEST.to_bytes())
        del data[name]
        with pytest.raises(OperationFailed, match="not the manifest"):
            Manifest.from_bytes(json.dumps(data).encode())

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("key", "../../etc/passwd"), ("key", "/etc/passwd"), ("key", "parts/../x.sql.zst"), ("key", "manifest.json"),
            ("key", "parts/01-a-b.sql.zst"), ("key", "parts/01-$(reboot).sql.zst.age"), ("order", 0), ("order", True),
            ("stored_size", -1), ("stored_sha256", "x"), ("stored_sha256", DIGEST.upper()), ("plain_size", "1"),
        ],
    )  # fmt: skip
    def test_a_part_that_leads_elsewhere_is_refused(self, name, value):
        data = json.loads(MANIFEST.to_bytes())
        data["parts"][0][name] = value
        with pytest.raises(OperationFailed, match="not the manifest"):
            Manifest.from_bytes(json.dumps(data).encode())

    def test_two_parts_of_one_name_are_refused(self):
        data = json.loads(MANIFEST.to_bytes())
        data["parts"] *= 2
        with pytest.raises(OperationFailed, match="parts"):
            Manifest.from_bytes(json.dumps(data).encode())
