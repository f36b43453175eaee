"""One line for each step, with its time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Steps:
    """Prints what is done and how long it took; nothing else of the demonstration measures time."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self.write = write
        self._began = time.monotonic()

    @contextmanager
    def step(self, text: str) -> Iterator[list[str]]:
        """Yields a list: what is put into it is said at the end of the line. A failure says so, and passes on."""
        began, remarks = time.monotonic(), list[str]()
        try:
            yield remarks
        except BaseException:
            self._line("✗", began, text, [])
            raise
        self._line("✓", began, text, remarks)

    def _line(self, mark: str, began: float, text: str, remarks: list[str]) -> None:
        tail = f": {', '.join(remarks)}" if remarks else ""
        self.write(f"{mark} {time.monotonic() - began:6.1f} s  {text}{tail}")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began
