"""Cutting a dump into what one session runs and rows that several may insert: nothing lost, nothing out of order."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backups.engines import _mariadb_split
from backups.engines._mariadb_split import Begin, End, Rows, Splitter, Text

PLAIN = b"""CREATE TABLE `plain` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `note` varchar(20) DEFAULT ');',
  PRIMARY KEY (`id`),
  UNIQUE KEY `one` (`note`),
  KEY `two` (`note`,`id`) COMMENT 'a, b',
  KEY `three` (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
"""
STRIPPED = PLAIN.replace(b",\n  KEY `two` (`note`,`id`) COMMENT 'a, b',\n  KEY `three` (`id`)\n", b"\n")
AFTER = b"ALTER TABLE `plain` ADD KEY `two` (`note`,`id`) COMMENT 'a, b', ADD KEY `three` (`id`)"
INSERTS = [b"INSERT INTO `plain` VALUES\n(1,'a);b'),\n(2,'c\\n')", b"INSERT INTO `plain` VALUES (3,'')"]
ROWS = b"".join(one + b";\n" for one in INSERTS)
KEYS = b"/*!40000 ALTER TABLE `plain` DISABLE KEYS */;\n"
TRIGGER = b"DELIMITER ;;\nCREATE TRIGGER x\nLOCK TABLES `plain` WRITE;\nUNLOCK TABLES;\n;;\nDELIMITER ;\n"
DUMP = (
    b"/*M!999999\\- enable the sandbox mode */\n-- head\n"
    + PLAIN + b"LOCK TABLES `plain` WRITE;\n" + KEYS + ROWS
    + KEYS.replace(b"DIS", b"EN") + b"UNLOCK TABLES;\n" + TRIGGER + b"-- end\n"
)  # fmt: skip


def pieces(dump: bytes, cuts=()):
    splitter, found, borders = Splitter(), [], [0, *sorted(cut % (len(dump) + 1) for cut in cuts), len(dump)]
    for start, end in itertools.pairwise(borders):
        found += splitter.feed(dump[start:end])
    return [*found, *splitter.finish()]


def text(found) -> bytes:
    return b"".join(piece.content for piece in found if isinstance(piece, Text))


@given(st.lists(st.integers(0, 1 << 16), max_size=6))
def test_rows_and_waiting_indexes_come_apart_wherever_the_dump_is_cut(cuts) -> None:
    found = pieces(DUMP, cuts)
    apart = [piece for piece in found if not isinstance(piece, Text)]
    assert apart == [Begin(b"plain", AFTER), *(Rows(one) for one in INSERTS), End()]
    assert text(found) == DUMP.replace(PLAIN, STRIPPED).replace(
        b"LOCK TABLES `plain` WRITE;\n" + KEYS + ROWS + KEYS.replace(b"DIS", b"EN") + b"UNLOCK TABLES;\n", b""
    )
    # Rows come behind their table's definition, and the trigger waits for all of them.
    before = text(found[: found.index(apart[0])])
    assert STRIPPED in before
    (waits,) = [piece for piece in found if isinstance(piece, Text) and piece.alone]
    assert waits.content == b"DELIMITER ;;\n" and found.index(waits) > found.index(End())


UNFIT = [
    (b"ENGINE=InnoDB", b"ENGINE=MyISAM"),
    (b"ENGINE=InnoDB", b"WITH SYSTEM VERSIONING ENGINE=InnoDB"),
    (b"DEFAULT ');'", b"GENERATED ALWAYS AS (1) STORED"),
    (b"  PRIMARY KEY (`id`)", b"  UNIQUE KEY `p` (`id`)"),
    (b"utf8mb4_general_ci;", b"utf8mb4_general_ci\n PARTITION BY KEY (`id`);"),
    (b"DEFAULT ');'", b"DEFAULT nextval(`d`.`s`)"),
]


@pytest.mark.parametrize(("old", "new"), UNFIT)
def test_where_order_or_session_count_everything_stays_as_it_is(old, new) -> None:
    dump = DUMP.replace(old, new)
    assert dump != DUMP
    found = pieces(dump, [100, 200])
    assert text(found) == dump
    assert all(isinstance(piece, Text) for piece in found)


NOT_WAITING = [
    (b"  KEY `three` (`id`)\n", b"  KEY `three` (`id`),\n  CONSTRAINT `f` FOREIGN KEY (`id`) REFERENCES `o` (`id`)\n"),
    (b"  KEY `three` (`id`)\n", b"  FULLTEXT KEY `three` (`note`)\n"),
    (b"  KEY `three` (`id`)\n", b"  KEY `three` (`id`),\n  CONSTRAINT `c` CHECK (`id` > 0)\n"),
    (b"  PRIMARY KEY (`id`)", b"  PRIMARY KEY (`note`)"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), NOT_WAITING)
def test_indexes_that_others_need_are_made_with_their_table(old, new) -> None:
    dump = DUMP.replace(old, new)
    found = pieces(dump)
    assert new in text(found)
    assert Begin(b"plain", b"") in found
    assert [piece.statement for piece in found if isinstance(piece, Rows)] == INSERTS


@settings(max_examples=300)
@given(st.lists(st.integers(0, 1 << 16), max_size=8), st.sampled_from([30, 40, 50]))
def test_what_is_too_long_to_wait_for_passes_as_text(cuts, largest) -> None:
    """The lines that the splitter itself goes by are shorter than any limit."""
    before, _mariadb_split.LARGEST = _mariadb_split.LARGEST, largest
    try:
        found = pieces(DUMP, cuts)
    finally:
        _mariadb_split.LARGEST = before
    for statement in INSERTS:
        rows = sum(piece == Rows(statement) for piece in found)
        assert rows + text(found).count(statement + b";\n") == 1
    whole = text(found)
    assert whole.startswith(b"/*M!") and whole.endswith(TRIGGER + b"-- end\n")
    assert re.search(b"CREATE TABLE `plain`", whole)


def test_a_dump_that_is_cut_in_its_rows_is_given_as_it_is() -> None:
    end = DUMP.index(b"(2,'c")
    found = pieces(DUMP[:end])
    assert found[-2] == End()
    assert found[-1] == Text(DUMP[DUMP.index(b"INSERT") : end], alone=True)
