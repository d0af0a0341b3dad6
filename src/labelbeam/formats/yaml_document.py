"""A YAML file of unknown origin, as plain values: no alias, so nothing that could expand.

Used by the readers of `formats`. Knows no layout.
"""

from typing import Any

import yaml

from labelbeam.errors import InputError

LARGEST = 1 << 24
"""Bytes that are parsed; descriptions of data sets have thousands."""


class _Plain(yaml.SafeLoader):
    """Refuses what a few hundred bytes can blow up to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it refers to another part of itself (an alias, *name)")
        return super().compose_node(parent, index)


def parse_yaml(raw: bytes, where: str) -> object:
    """Return the value of a YAML text.

    Args:
        raw: the text's bytes.
        where: what to call it in the message.

    Raises:
        InputError: not YAML, too long, nested thousands of levels deep, or with an alias.

    Example:
        >>> parse_yaml(b"names: {0: cat}", "data.yaml")
        {'names': {0: 'cat'}}
    """
    try:
        if len(raw) > LARGEST:
            raise ValueError(f"it is longer than {LARGEST:,} bytes")
        return yaml.load(raw, Loader=_Plain)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{where} is not readable YAML ({reason}). Repair it.") from None
