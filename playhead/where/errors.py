"""What can be wrong with an expression."""

from __future__ import annotations

from topics.errors import PlayheadError


class WhereError(PlayheadError):
    """An expression cannot be used; the text shows it with a caret under the place."""

    exit_code = 2

    def __init__(self, problem: str, text: str, at: int) -> None:
        super().__init__(f"--where: {problem}\n  {text}\n  {' ' * at}^")
        self.problem = problem
        self.at = at
