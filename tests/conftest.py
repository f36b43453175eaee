"""What all tests share."""

from tests.append_only import let_tests_flush

let_tests_flush()
