"""What the server's clock says of its positions, and what is safe."""

from datetime import UTC, datetime, timedelta

from backups.logs.chain import Mark, Position
from backups.logs.marks import Marks

BEGAN = datetime(2026, 11, 21, 12, tzinfo=UTC)


def mark(second: int, offset: int) -> Mark:
    at = BEGAN + timedelta(seconds=second)
    return Mark(at, Position("log", offset), at + timedelta(milliseconds=1))


def upto(end: int):
    return lambda one: one.position.offset <= end


def taken(*pairs: tuple[int, int]) -> Marks:
    marks = Marks()
    for second, offset in pairs:
        marks.take(mark(second, offset), BEGAN + timedelta(seconds=second))
    return marks


def test_marks_go_with_the_segment_that_covers_them() -> None:
    marks = taken((0, 10), (1, 20), (2, 30))
    assert marks.attach(1, upto(20)) == [mark(0, 10), mark(1, 20)]
    assert marks.attach(2, upto(30)) == [mark(2, 30)]


def test_of_many_at_one_place_the_first_and_the_last_stay() -> None:
    marks = taken(*((second, 10) for second in range(3600)))
    assert marks.attach(1, upto(10)) == [mark(0, 10), mark(3599, 10)]


def test_what_is_safe_follows_the_destination() -> None:
    marks = taken((0, 10), (1, 20), (2, 30))
    marks.attach(1, upto(10))
    marks.attach(2, upto(20))
    assert marks.safe(0) is None
    for through, expected in [(1, mark(0, 10)), (2, mark(1, 20)), (9, mark(1, 20))]:
        found = marks.safe(through)
        assert found is not None
        assert found.mark == expected


def test_while_nothing_grows_time_goes_on() -> None:
    marks = taken((0, 10))
    marks.attach(1, upto(10))
    marks.take(mark(60, 10), BEGAN)
    marks.note(1, upto(10))
    found = marks.safe(1)
    assert found is not None
    assert found.mark == mark(60, 10)
    # It goes with the next segment: the archive alone says that nothing happened in that minute.
    assert marks.attach(2, upto(50)) == [mark(60, 10)]


def test_what_all_have_is_forgotten() -> None:
    marks = taken(*((number, number) for number in range(1, 9)))
    for number in range(1, 9):
        marks.attach(number, upto(number))
    marks.forget(5)
    assert marks.safe(4) is None
    assert marks.safe(5) is not None
    assert marks.safe(8) is not None
