"""Cells that are lists: what Python, NumPy, JSON, Postgres and their like print of a list of names, and nothing else.

The grammar of a cell that begins with a bracket:

    cell    = call | list                        array([...], dtype=object), set(), R's c("a", "b"), character(0)
    list    = "[" members "]" | "{" members "}" | "(" members ")"       round brackets hold quoted names only
    members = nothing | member ("," member)* ","?                       lists, sets, tuples, Postgres arrays
            | quoted (blank quoted)*                                    NumPy prints arrays without commas
    member  = quoted | bare
    quoted  = "…" | '…' with the escapes of JSON and Python, also as u'…', b'…' and np.str_('…')
    bare    = text without comma, bracket or quotation mark; null, None, nan are no name; numbers are refused
    object  = "{" [member ":" yes_or_no ("," member ":" yes_or_no)*] "}"    1, 0, true, false, True, False, 1.0, 0.0

Nothing is evaluated. At the end the words for yes and no, of cells that are one. Knows nothing of rows and files.
"""

import re
from dataclasses import dataclass

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

_OPEN = {"[": "]", "{": "}", "(": ")"}
_CALL = re.compile(r"(?:np\.|numpy\.)?(array|set|frozenset|list|tuple|dict_keys|deque)\((.*)\)", re.DOTALL)
_OF_R = re.compile(r"""(?:c|list|character)(\(0\)|\(\s*["'].*\))""", re.DOTALL)
_DTYPE = re.compile(r"\s*(?:,\s*(?:dtype|name|shape|maxlen)\s*=\s*[^\[\]{}]*)*,?\s*")
_QUOTED = re.compile(
    r"""(?:np\.str_\(|[uU]|([bB]))?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""",
    re.DOTALL,
)
_BARE = re.compile(r"""[^\s,\[\]{}"'][^,\[\]{}"]*""")
_BLANKS = re.compile(r"\s*")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?\Z|True\Z|False\Z|true\Z|false\Z")
_NOTHING = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>", "nat"})
_VALUE = re.compile(r"""\s*:\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,\[\]{}"':]+)(?=\s*[,}])""")
_YES, _NO = frozenset({"1", "true"}), frozenset({"0", "false"})
_PAIRS = "it holds pairs, as a JSON object or dict does, other than of names with 1, 0, true or false"
OBJECTS = "objects of 1 and 0"
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "a": "\a", "v": "\v", "0": "\0"}


@dataclass(frozen=True)
class ListCell:
    """A cell that is a list.

    Attributes:
        names: its members as written, without quotation marks and escapes.
        notation: how such cells are called: `lists`, `sets`, `tuples`, `NumPy arrays`, `Postgres arrays`, …
        quoted: whether a member has quotation marks; a text in brackets without any may be a name.
        absent: names that an object says 0 or false of; None: the cell is no object.
    """

    names: tuple[str, ...]
    notation: str
    quoted: bool
    absent: tuple[str, ...] | None = None


def list_cell(cell: str) -> ListCell | None:
    r"""Read a cell that is a list.

    Returns:
        The list; None where the cell begins like none.

    Raises:
        InputError: it begins like a list and is none of names: it never ends, holds numbers, pairs or other lists,
            was cut short, or something follows. The message has no place; the caller knows it.

    Example:
        >>> list_cell("['cat' 'traffic light']").names, list_cell(r'["caf\u00e9"]').names, list_cell("cat (wild)")
        (('cat', 'traffic light'), ('café',), None)
    """
    text = cell.strip()
    call = _CALL.fullmatch(text)
    inner = call[2].strip() if call else text
    if of_r := _OF_R.fullmatch(text):
        call, inner = None, of_r[1].replace("(0)", "()")
    if call and not inner:
        return ListCell((), "sets" if "set" in call[1] else "lists", quoted=True)
    if not inner or inner[0] not in _OPEN or (inner[0] == "(" and not re.match(r"\(\s*(['\"]|\)$)", inner)):
        return None
    members, end, how = _members(inner, text)
    if how == ":":
        if call or inner[end:].strip():
            raise _wrong(text, f"{inner[end:].strip()[:20]!r} follows its end")
        return _object(members, text)
    rest = inner[end:]
    if (rest.strip() and not call) or (call and not _DTYPE.fullmatch(rest)):
        raise _wrong(text, f"{rest.strip()[:20]!r} follows its end")
    nothing = {"null"} if inner[0] == "{" else _NOTHING  # Postgres puts quotation marks around a name null
    names = [name for name, quoted in members if quoted or name.casefold() not in nothing]
    for name, quoted in members:
        if not quoted and _NUMBER.match(name):
            raise _wrong(text, f"{name!r} is a number: a class number or a value, whose name is nowhere")
        if not quoted and ("..." in name or name.count("'") > 1):
            raise _wrong(text, f"{name[:20]!r} is no name: the list was cut short when it was printed")
        if not quoted and name[0] in "“”„«»‹›‘`":
            raise _wrong(text, f"{name[:20]!r} has quotation marks of another kind than ' and \"")
    any_quoted = any(quoted for _, quoted in members) or not members
    notation = "vectors of R" if of_r else _notation(inner[0], call, how, members)
    return ListCell(tuple(names), notation, any_quoted)


def _members(text: str, cell: str) -> tuple[list[tuple[str, bool]], int, str]:
    """Return the members of a list with whether they are quoted, where it ends, and what separates them."""
    close = _OPEN[text[0]]
    members: list[tuple[str, bool]] = []
    separators: set[str] = set()
    pairs = 0
    at = _BLANKS.match(text, 1).end()  # type: ignore[union-attr]
    while not text.startswith(close, at):
        member, at = _member(text, at, cell)
        members.append(member)
        after = _BLANKS.match(text, at).end()  # type: ignore[union-attr]
        if text[0] == "{" and (value := _VALUE.match(text, after)):
            members[-1] = (f"{member[0]}\0{value[1]}", True)
            pairs += 1
            at = after = _BLANKS.match(text, value.end()).end()  # type: ignore[union-attr]
        if text.startswith(":", after):
            raise _wrong(cell, _PAIRS)
        if text.startswith(",", after):
            separators.add(",")
            at = _BLANKS.match(text, after + 1).end()  # type: ignore[union-attr]
        elif text.startswith(close, after):
            at = after
        elif after > at and member[1] and _QUOTED.match(text, after):
            separators.add(" ")
            at = after
        else:
            shown = text[after : after + 20]
            if shown.startswith("..."):
                raise _wrong(cell, "the list was cut short when it was printed")
            raise _wrong(
                cell, f"{shown!r} stands where a comma or {close!r} should" if shown else "it never ends"
            )
    if pairs:
        if pairs < len(members) or " " in separators:
            raise _wrong(cell, _PAIRS)
        return members, at + 1, ":"
    if len(separators) > 1:
        raise _wrong(cell, "some of its members have commas between them, some blanks")
    return members, at + 1, separators.pop() if separators else ""


def _member(text: str, at: int, cell: str) -> tuple[tuple[str, bool], int]:
    """Return the member that begins at a place, whether it is quoted, and where it ends."""
    if quoted := _QUOTED.match(text, at):
        end, text_of = quoted.end(), _unescaped(quoted[2][1:-1], cell)
        if quoted[0].startswith("np.str_("):
            if not text.startswith(")", end):
                raise _wrong(cell, "np.str_( never closes")
            end += 1
        if quoted[1]:  # bytes, as h5py and TensorFlow print them
            try:
                text_of = text_of.encode("latin-1").decode()
            except UnicodeError:
                raise _wrong(cell, "it holds bytes that are no UTF-8") from None
        return (text_of, True), end
    if bare := _BARE.match(text, at):
        name = bare[0].rstrip()
        while name.count(")") > name.count("(") and name.endswith(")"):
            name = name[:-1].rstrip()
        if (pair := re.search(r"\s*:(\s|$)", name)) and text.startswith(":", at + len(name[: pair.start()])):
            name = name[: pair.start()]
        elif pair:
            raise _wrong(cell, _PAIRS)
        return (name, False), at + len(name)
    if at >= len(text):
        raise _wrong(cell, "it never ends")
    problem = "it holds another list" if text[at] in "[{" else f"{text[at : at + 20]!r} is no name"
    raise _wrong(cell, problem)


def _unescaped(body: str, cell: str) -> str:
    """Return a quoted text without its escapes, as JSON and Python write them."""
    if "\\" not in body:
        return body

    def character(found: re.Match[str]) -> str:
        code = found[1]
        if len(code) > 1:
            number = int(code[1:], 16)
            if number > 0x10FFFF:
                raise _wrong(cell, f"\\{code} is no character")
            return chr(number)
        if code not in _LETTERS and code.isalnum():
            raise _wrong(cell, f"\\{code} is no escape of JSON or Python")
        return _LETTERS.get(code, "" if code == "\n" else code)

    text = _ESCAPE.sub(character, body)
    try:  # JSON writes a character beyond the first plane as two halves
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise _wrong(cell, "it holds half a character") from None


def _object(pairs: list[tuple[str, bool]], cell: str) -> ListCell:
    """Return the names that an object says yes of, and those that it says no of."""
    named = [tuple(pair.split("\0")) for pair, _ in pairs]
    for name, value in named:
        if said(value) not in _YES | _NO:
            raise _wrong(
                cell,
                f"{name!r} has the value {value[:20]!r}, and only 1, 0, true and false are read. If it is a score, "
                "decide on a threshold and write the names that are present",
            )
    if len({name for name, _ in named}) < len(named):
        raise _wrong(cell, "it holds a name twice")
    present = tuple(name for name, value in named if said(value) in _YES)
    absent = tuple(name for name, value in named if said(value) in _NO)
    return ListCell(present, OBJECTS, quoted=True, absent=absent)


def _notation(bracket: str, call: re.Match[str] | None, how: str, members: list[tuple[str, bool]]) -> str:
    if how == " " or (call and call[1] == "array"):
        return "NumPy arrays"
    if bracket == "{":
        return "sets" if members and all(quoted for _, quoted in members) else "Postgres arrays"
    return "tuples" if bracket == "(" else "lists"


def _wrong(cell: str, problem: str) -> InputError:
    return InputError(
        f"{cell[:60]!r} is not a list of texts such as ['person', 'sky']: {problem}. Repair the cell."
    )


YES_NO = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "x", "✓", "✔", "☑", "+"), PRESENT),
    **dict.fromkeys(("present", "positive", "pos", "on", "accepted", "approved"), PRESENT),
    **dict.fromkeys(("0", "false", "f", "no", "n", "✗", "✘", "☐"), ABSENT),
    **dict.fromkeys(("absent", "negative", "neg", "off", "rejected", "declined"), ABSENT),
    **dict.fromkeys(("?", "unknown", "uncertain", "unsure"), UNKNOWN),
    # as spreadsheets write them in German, French, Spanish, Italian and Portuguese
    **dict.fromkeys(
        ("wahr", "vrai", "verdadero", "vero", "verdadeiro", "ja", "oui", "sí", "si", "sì", "sim"), PRESENT
    ),
    **dict.fromkeys(("falsch", "faux", "falso", "nein", "non", "não"), ABSENT),
    # Dutch, Nordic, Polish, Czech, Russian, Turkish, Japanese, Chinese, Korean
    **dict.fromkeys(
        ("waar", "tak", "prawda", "ano", "да", "evet", "はい", "あり", "有", "是", "예"), PRESENT
    ),
    **dict.fromkeys(("onwaar", "nee", "nej", "nei", "nie", "fałsz", "ne", "нет", "hayır"), ABSENT),
    **dict.fromkeys(("いいえ", "なし", "無", "无", "否", "아니요"), ABSENT),
}
"""Cells as `said` gives them, that say that a label is present, absent, or that nobody knows."""

_UNIT = re.compile(r"([-+]?)0*([01])(?:[.,]0*)?(?:e[-+]?0+)?")


def said(cell: str) -> str:
    """Return a cell in small letters; 1, 0 and -1 alike however a program writes such a number.

    Example:
        >>> [said(cell) for cell in ("1.000000e+00", "0,00", "-1.", "Yes", "0.1")]
        ['1', '0', '-1', 'yes', '0.1']
    """
    text = cell.strip().casefold()
    if text[:1] in "-+.0123456789" and (number := _UNIT.fullmatch(text)):
        return "-1" if number[1] == "-" and number[2] == "1" else number[2]
    return text
