"""Class numbers to class names, for formats that label images by numbers.

Used by readers of `formats`. Knows no layout.
"""

from collections.abc import Sequence

from labelbeam.errors import InputError


def names_of_numbers(value: object, classes: Sequence[str], where: str) -> list[str]:
    """Return the names of class numbers, each once.

    Args:
        value: a list of numbers, or one number.
        classes: names; a name's position is its number.
        where: file and place in it, for messages.

    Raises:
        InputError: something else than numbers, or a number beyond the classes.

    Example:
        >>> names_of_numbers([1, 0, 1], ["cat", "dog"], "a.json")
        ['dog', 'cat']
    """
    names: dict[str, None] = {}
    for number in value if isinstance(value, list) else [value]:
        if not isinstance(number, int) or isinstance(number, bool):
            raise InputError(f"{where}: labels must be class numbers, given {str(value)[:60]}.")
        if not 0 <= number < len(classes):
            raise InputError(f"{where}: class number {number}; there are {len(classes)} classes, from 0.")
        names[classes[number]] = None
    return list(names)
