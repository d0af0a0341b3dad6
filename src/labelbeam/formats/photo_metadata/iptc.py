"""Keywords in IPTC-IIM, the older of the two ways in which photographs carry them.

Under the reader of keywords. Knows nothing of files.
"""

KEYWORDS = (2, 25)
CODED_CHARACTER_SET = (1, 90)
_UTF8 = b"\x1b%G"


def iptc_keywords(records: bytes) -> tuple[list[str], str]:
    r"""Return the keywords of IPTC records, and the encoding they were read in.

    Args:
        records: data sets one after another, each starting with 0x1C; what follows damage is not read.

    Returns:
        The keywords, and `utf-8` (marked so, or valid), `latin-1` (unmarked and not UTF-8) or empty (none).

    Source:
        IPTC-NAA Information Interchange Model 4.2, section 1.5 (data sets), 1:90 (coded character set).

    Example:
        >>> iptc_keywords(b"\x1c\x02\x19\x00\x03dog\x1c\x02\x19\x00\x05caf\xc3\xa9")
        (['dog', 'café'], 'utf-8')
    """
    keywords, marked = [], False
    position = 0
    while records[position : position + 1] == b"\x1c" and position + 5 <= len(records):
        kind = records[position + 1], records[position + 2]
        size = int.from_bytes(records[position + 3 : position + 5], "big")
        position += 5
        if size & 0x8000:  # an extended data set: the number is the length of the length
            width = size & 0x7FFF
            size = int.from_bytes(records[position : position + width], "big") if width <= 8 else len(records)
            position += width
        value = records[position : position + size]
        position += size
        if position > len(records):
            break
        if kind == CODED_CHARACTER_SET:
            marked = value == _UTF8
        elif kind == KEYWORDS:
            keywords.append(value.rstrip(b"\0"))
    if not keywords:
        return [], ""
    try:
        return [keyword.decode("utf-8") for keyword in keywords], "utf-8"
    except UnicodeDecodeError:
        if marked:
            return [keyword.decode("utf-8", errors="replace") for keyword in keywords], "utf-8"
        return [keyword.decode("latin-1") for keyword in keywords], "latin-1"
