"""The grammar of `--where`: from text to a tree, and back.

either     = both { "or" both }
both       = maybe { "and" maybe }
maybe      = "not" maybe | "(" either ")" | comparison
comparison = field [ operator value ]
operator   = "==" | "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~"
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from playhead.where.errors import WhereError

MAX_DEPTH = 50
"""Parentheses and nots within one another; more are a mistake, not a question."""

_QUOTED = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
_TOKEN = re.compile(
    rf"""\s*(?:(?P<operator>==|!=|<=|>=|!~|<|>|~|=)
             |(?P<paren>[()])
             |(?P<text>(?:[^\s()"'=!<>~]|{_QUOTED})+))""",
    re.VERBOSE | re.DOTALL,
)
_PIECE = re.compile(rf"{_QUOTED}|[^.\"']+|\.", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_BARE = re.compile(r"[A-Za-z_$][\w$-]*", re.ASCII)
_WORDS = ("and", "or", "not")


@dataclass(frozen=True, slots=True)
class Value:
    """The right side of a comparison: a word, a number or, quoted, a string."""

    text: str
    quoted: bool = False

    @property
    def number(self) -> float | None:
        """The number that is written here."""
        return float(self.text) if not self.quoted and _NUMBER.fullmatch(self.text) else None

    @property
    def is_null(self) -> bool:
        """Whether this is ``null``."""
        return not self.quoted and self.text == "null"

    def __str__(self) -> str:
        return _quote(self.text) if self.quoted else self.text


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field, and what it is compared with; without operator: the field alone."""

    path: tuple[str, ...]
    operator: str = ""
    value: Value = Value("")
    pattern: re.Pattern[str] | None = field(default=None, compare=False, repr=False)
    path_at: int = field(default=0, compare=False)
    value_at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        path = ".".join(name if _is_bare(name) else _quote(name) for name in self.path)
        return f"{path} {self.operator} {self.value}" if self.operator else path


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    inner: Node

    def __str__(self) -> str:
        return f"not ({self.inner})"


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " and ".join(f"({part})" for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " or ".join(f"({part})" for part in self.parts)


Node = Comparison | Not | And | Or


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression and the text it came from."""

    root: Node
    text: str = field(compare=False)

    def __str__(self) -> str:
        return str(self.root)


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(text: str) -> Expression:
    """Return the expression that `text` writes.

    Raises:
        WhereError: `text` is no expression; its message points at the place.

    >>> str(parse("severity>=high and not dry_run"))
    '(severity >= high) and (not (dry_run))'
    """
    parser = _Parser(text)
    root = parser.either(0)
    if parser.now.kind != "end":
        raise WhereError(f"expected `and`, `or` or the end, found {parser.now.text}", text, parser.now.at)
    return Expression(root, text)


class _Parser:
    """A recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0

    @property
    def now(self) -> _Token:
        return self._tokens[self._next]

    def either(self, depth: int) -> Node:
        parts = [self._both(depth)]
        while self._takes("or"):
            parts.append(self._both(depth))
        return Or(tuple(parts)) if len(parts) > 1 else parts[0]

    def _both(self, depth: int) -> Node:
        parts = [self._maybe(depth)]
        while self._takes("and"):
            parts.append(self._maybe(depth))
        return And(tuple(parts)) if len(parts) > 1 else parts[0]

    def _maybe(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} parentheses and nots within one another")
        if self._takes("not"):
            return Not(self._maybe(depth + 1))
        if self.now.text == "(" and self.now.kind == "paren":
            opened = self._advance()
            inner = self.either(depth + 1)
            if self.now.kind != "paren" or self.now.text != ")":
                raise WhereError("this parenthesis is not closed", self._text, opened.at)
            self._advance()
            return inner
        return self._comparison()

    def _comparison(self) -> Comparison:
        if self.now.kind != "text" or self._is_word():
            raise self._error("expected a field")
        token = self._advance()
        path = self._path(token)
        if self.now.kind != "operator":
            return Comparison(path, path_at=token.at)
        told = self._advance().text
        operator = "==" if told == "=" else told
        if self.now.kind != "text" or self._is_word():
            raise self._error(f"expected a value after {operator}")
        literal = self._advance()
        value = self._value(literal)
        if value.is_null and operator not in ("==", "!="):
            raise WhereError("null is compared with == or != only", self._text, literal.at)
        pattern = self._pattern(value, literal.at) if operator in ("~", "!~") else None
        return Comparison(path, operator, value, pattern, token.at, literal.at)

    def _path(self, token: _Token) -> tuple[str, ...]:
        names: list[str] = []
        expects_name = token.text[0].isalpha() or token.text[0] in "$_\"'"
        for piece in _PIECE.findall(token.text):
            if (piece == ".") == expects_name:
                raise WhereError(f"{token.text} is no field", self._text, token.at)
            if expects_name:
                names.append(_unquote(piece) if piece[0] in "\"'" else piece)
            expects_name = not expects_name
        if expects_name:
            raise WhereError(f"{token.text} is no field", self._text, token.at)
        return tuple(names)

    def _value(self, token: _Token) -> Value:
        if re.fullmatch(_QUOTED, token.text, re.DOTALL):
            return Value(_unquote(token.text), quoted=True)
        if '"' in token.text or "'" in token.text:
            raise WhereError("a value is quoted wholly or not at all", self._text, token.at)
        return Value(token.text)

    def _pattern(self, value: Value, at: int) -> re.Pattern[str]:
        try:
            return re.compile(value.text)
        except (re.error, OverflowError, RecursionError) as error:
            raise WhereError(f"no regular expression: {error}", self._text, at) from error

    def _is_word(self) -> bool:
        return self.now.kind == "text" and self.now.text.lower() in _WORDS

    def _takes(self, word: str) -> bool:
        if self.now.kind == "text" and self.now.text.lower() == word:
            self._advance()
            return True
        return False

    def _advance(self) -> _Token:
        token = self.now
        self._next += 1
        return token

    def _error(self, problem: str) -> WhereError:
        found = self.now.text or "nothing"
        return WhereError(f"{problem}, found {found}", self._text, self.now.at)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at, end)
        if match is None:
            at += len(text[at:end]) - len(text[at:end].lstrip())
            problem = "this quote is not closed" if text[at] in "\"'" else f"{text[at]} means nothing here"
            raise WhereError(problem, text, at)
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    tokens.append(_Token("end", "", end))
    return tokens


def _is_bare(name: str) -> bool:
    return bool(_BARE.fullmatch(name)) and name.lower() not in _WORDS


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
