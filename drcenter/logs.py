"""What every log line passes through."""

import logging

from drcenter.secrets import redact


class Redact(logging.Filter):
    """Takes resolved secrets out of a record, its arguments and its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = None
        if record.exc_info:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True
