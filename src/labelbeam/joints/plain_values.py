"""Frozen dataclasses to plain JSON or YAML values and back; every unknown key and wrong type is named."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from labelbeam.errors import InputError

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Return dictionaries, lists, strings, numbers and None for a dataclass and all it holds."""
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Path):
        return str(value)
    return [to_plain(item) for item in value] if isinstance(value, tuple) else value


def from_plain(kind: type[T], values: Mapping[str, Any], *, base: T | None = None, source: str) -> T:
    """Build a dataclass from plain values.

    Args:
        kind: the dataclass.
        values: some or all of its fields; nested dataclasses as nested mappings.
        base: where fields that `values` lacks come from; None: the dataclass's defaults.
        source: where the values came from, for messages.

    Raises:
        InputError: unknown keys (the nearest is proposed), values of another type, missing ones; all of
            them in one message. Errors of the dataclass's own checks come as they are.

    Example:
        >>> from labelbeam.training.recipe import Recipe
        >>> from_plain(Recipe, {"epochs": 5}, source="a.yaml").epochs
        5
        >>> from_plain(Recipe, {"epoch": 5}, source="a.yaml")
        Traceback (most recent call last):
        ...
        labelbeam.errors.InputError: a.yaml: unknown key 'epoch' (nearest: 'epochs').
    """
    problems: list[str] = []
    built = _build(kind, values, base, "", problems)
    if problems:
        raise InputError(f"{source}: " + "; ".join(problems) + ".")
    return built


def _build(kind: type, values: Mapping[str, Any], base: Any, prefix: str, problems: list[str]) -> Any:
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    chosen: dict[str, Any] = {} if base is None else {name: getattr(base, name) for name in known}
    for key, value in values.items():
        if key not in known:
            nearest = get_close_matches(str(key), known, n=1, cutoff=0.4)
            hint = f" (nearest: {prefix + nearest[0]!r})" if nearest else f" (allowed: {', '.join(known)})"
            problems.append(f"unknown key {prefix + str(key)!r}{hint}")
            continue
        chosen[key] = _value(hints[key], value, chosen.get(key), prefix + key, problems)
    for name, field in known.items():
        if name not in chosen and field.default is MISSING and field.default_factory is MISSING:
            problems.append(f"{prefix}{name} is missing")
    return None if problems else kind(**chosen)


def _value(hint: Any, value: Any, base: Any, key: str, problems: list[str]) -> Any:
    """Check one value against its type; numbers may be written without a point, paths as text."""
    if is_dataclass(hint):
        if isinstance(value, Mapping):
            return _build(hint, value, base, key + ".", problems)  # type: ignore[arg-type]
    elif get_origin(hint) is UnionType:
        if value is None and NoneType in get_args(hint):
            return None
        inner = [arg for arg in get_args(hint) if arg is not NoneType]
        return _value(inner[0], value, base, key, problems)
    elif get_origin(hint) is tuple:
        kinds = get_args(hint)
        if isinstance(value, list | tuple) and (kinds[-1] is Ellipsis or len(value) == len(kinds)):
            return tuple(_value(kinds[0], item, None, key, problems) for item in value)
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    name = getattr(hint, "__name__", str(hint))
    problems.append(f"{key} must be {name}, given {value!r}")
    return value
