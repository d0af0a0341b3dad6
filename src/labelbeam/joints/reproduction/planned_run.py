"""One training of a reproduction, and the `labelbeam train` command that makes the same run by itself."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelbeam.joints.config import RunConfig, configure
from labelbeam.joints.plain_values import to_plain
from labelbeam.joints.reproduction.recipes import Settings


@dataclass(frozen=True)
class PlannedRun:
    """One training.

    Attributes:
        row: a name of `ROWS`.
        configuration: number of the configuration tried; 0 is the fixed recipe.
        seed: of the training.
        settings: the configuration's differences from the fixed recipe.
        config: everything.
        folder: of the run.
    """

    row: str
    configuration: int
    seed: int
    settings: Settings
    config: RunConfig
    folder: Path

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.folder.name

    def command(self, recipe: str) -> str:
        """Return the `labelbeam train` that makes the same run.

        Args:
            recipe: named recipe that its configuration starts from.
        """
        own = to_plain(self.config)
        words = [
            "labelbeam",
            "train",
            "--data",
            self.config.data,
            "--out",
            str(self.folder),
            "--head",
            self.config.head,
        ]
        words += ["--recipe", recipe] if recipe != "default" else []
        if self.config.validation is not None:
            words += ["--val", self.config.validation]
        given: dict[str, Any] = {"data": own["data"], "validation": own["validation"]}
        for part, options in (("encoder", ENCODER_FLAGS), ("read", {})):
            changed = dict(_differences(own[part], to_plain(getattr(RunConfig(), part))))
            for key, value in changed.items():
                if key != "name" or value:
                    words += [options.get(key, "--" + key.replace("_", "-")), _as_yaml(value)]
            given[part] = changed
        base = configure(head=self.config.head, recipe=recipe, options=given)
        # Each --set is checked by itself, and what may be said next decides which orders and losses fit.
        changes = _differences(own, to_plain(base))
        for key, value in sorted(changes, key=lambda change: change[0] != "label_model.allowed"):
            words += ["--set", f"{key}={_as_yaml(value)}"]
        return shlex.join(words)


ENCODER_FLAGS = {"name": "--encoder"}
"""Options of `labelbeam train` whose name is not their field's."""


def _differences(
    values: Mapping[str, Any], base: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, Any]]:
    """Return `a.b` and value of all that differs, in order."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += _differences(value, base[key], f"{prefix}{key}.")
        elif value != base[key]:
            found.append((prefix + key, value))
    return found


def _as_yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_yaml, value)) + "]"
    return "null" if value is None else str(value)
