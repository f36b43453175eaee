"""The one error that operators are meant to read."""


class OperationFailed(Exception):
    """What happened, what to do about it, and whether trying again makes sense.

    `message` is a sentence for an operator, without any secret. `hint` says what to try.
    `permanent` is True when the same call will fail again until somebody changes something.
    """

    def __init__(self, message: str, hint: str = "", *, permanent: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.permanent = permanent

    def __str__(self) -> str:
        return f"{self.message} Hint: {self.hint}" if self.hint else self.message


class Cancelled(Exception):
    """Somebody asked the running job to stop."""
