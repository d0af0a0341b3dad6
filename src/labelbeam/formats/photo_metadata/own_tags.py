"""Which keywords of a photograph are a run's and which a person's, and how a run's make room for another's.

A person who takes a tag away is heard: it is not written again. Whoever moves it into a hierarchy of theirs owns it.
Knows lists of keywords and no file.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from labelbeam.formats.photo_metadata.keyword_lists import (
    Lists,
    entry_of,
    holds,
    label_levels,
    seeded,
)

ListChanges = dict[str, list[str] | None]
"""New entries of each list that changes; None: the list is taken out."""


@dataclass(frozen=True)
class OwnTags:
    """What runs wrote into one file, as far as it is theirs still.

    Attributes:
        image: the photograph that the file is about.
        run: name and fingerprint of the run that was the last to write.
        root: of hierarchies, above every label.
        wrote: the lists that hold a label, by label.
        seeds: what lists that a run made started with: keywords that the photograph had elsewhere.
        created: whether a run made the file.
        rejected: labels that a person took away, or rejected on the page.
        withdrawn: labels that went together with their whole list: not written again, but nobody's word on what is
            on the photograph.
    """

    image: str
    run: str = ""
    root: str = ""
    wrote: dict[str, list[str]] = field(default_factory=dict)
    seeds: Lists = field(default_factory=dict)
    created: bool = False
    rejected: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, without what is empty."""
        return {name: value for name, value in vars(self).items() if value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "OwnTags":
        """Return what `to_dict` was given."""
        pairs = {name: tuple(values.get(name, ())) for name in ("rejected", "withdrawn")}
        return cls(**{**values, **pairs})

    @property
    def unwanted(self) -> frozenset[str]:
        """Labels that are not written again."""
        return frozenset((*self.rejected, *self.withdrawn))

    def seen(self, lists: Lists | None) -> "OwnTags":
        """Return what is left of it in a file as it is now.

        Args:
            lists: what the file holds; None: it is gone, which says nothing about any label.

        Example:
            >>> own = OwnTags("a.jpg", wrote={"car": ["dc:subject"], "dog": ["dc:subject"]})
            >>> own.seen({"dc:subject": ["Anna", "car"]}).rejected
            ('dog',)
        """
        if lists is None:
            return replace(self, wrote={}, seeds={}, created=False)
        ours: dict[str, list[str]] = {}
        rejected, withdrawn = list(self.rejected), list(self.withdrawn)
        for label, names in self.wrote.items():
            kept = [name for name in names if entry_of(name, self._levels(label)) in lists.get(name, ())]
            if any(name not in kept and holds(name, lists.get(name, ()), label) for name in names):
                continue  # it has a place in a person's hierarchy now
            if any(name in lists and name not in kept for name in names):
                rejected.append(label)
                ours |= (
                    {label: kept} if kept else {}
                )  # left over in lists that the person's program does not know
            elif kept:
                ours[label] = kept
            else:
                withdrawn.append(label)
        seeds = {name: entries for name, entries in self.seeds.items() if name in lists}
        return replace(
            self,
            wrote=ours,
            seeds=seeds,
            rejected=tuple(dict.fromkeys(rejected)),
            withdrawn=tuple(label for label in dict.fromkeys(withdrawn) if label not in rejected),
        )

    def replaced(
        self,
        lists: Lists,
        labels: Iterable[str],
        *,
        names: Collection[str],
        elsewhere: Lists | None = None,
        root: str = "",
        run: str = "",
    ) -> tuple[ListChanges, "OwnTags"]:
        """Return what is to change so that a file holds other labels in place of its run's, and who owns what then.

        Args:
            lists: what the file holds now, which `seen` was given.
            labels: decided now; the unwanted are left out.
            names: lists to write.
            elsewhere: lists that the photograph has elsewhere, which a first list in the file would hide.
            root: above every label in hierarchies.
            run: that decided.
        """
        wanted = [label for label in labels if label not in self.unwanted]
        after = {name: list(entries) for name, entries in lists.items()}
        ours = {label: list(held) for label, held in self.wrote.items()}
        for label, held in self.wrote.items():
            if label not in wanted or root != self.root:
                for name in held:
                    after[name].remove(entry_of(name, self._levels(label)))
                del ours[label]
        seeds = dict(self.seeds)
        there = after or elsewhere or {}
        new = [label for label in wanted if not any(holds(name, there[name], label) for name in there)]
        if new or ours:
            people = without(after, replace(self, wrote=ours)) or elsewhere or {}
            for name in names:
                if name not in after:
                    seeds[name] = seeded(name, people)
                    after[name] = list(seeds[name])
                for label in wanted:
                    if not holds(name, after[name], label):
                        after[name].append(entry_of(name, label_levels(label, root)))
                        ours.setdefault(label, []).append(name)
        changes: ListChanges = {
            name: entries for name, entries in after.items() if entries != lists.get(name)
        }
        if not ours:
            for name, entries in list(seeds.items()):
                if after.get(name) == entries:
                    changes[name] = None
                    del seeds[name]
        ordered = {label: ours[label] for label in dict.fromkeys((*wanted, *ours)) if label in ours}
        return changes, replace(self, run=run, root=root, wrote=ordered, seeds=seeds)

    def decided(
        self,
        lists: Lists,
        present: Collection[str],
        absent: Collection[str],
        *,
        names: Collection[str],
        elsewhere: Lists | None = None,
    ) -> tuple[ListChanges, "OwnTags"]:
        """Return what is to change where a person decided labels, and who owns what then.

        Args:
            lists: as `replaced` takes them.
            present: labels that are on the photograph: they are the person's from now on.
            absent: labels that are not.
            names: lists to write.
            elsewhere: as `replaced` takes it.
        """
        there = {
            name: [entry for entry in entries if not any(holds(name, [entry], label) for label in absent)]
            for name, entries in (lists or elsewhere or {}).items()
        }
        after = {name: there[name] for name in lists}
        missing = any(not any(holds(name, there[name], label) for name in there) for label in present)
        # What is inside the photograph and no longer true is hidden by a sidecar that says the rest.
        if missing or (not lists and there != (elsewhere or {})):
            after |= {name: seeded(name, there) for name in names if name not in after}
        for name, entries in after.items():
            for label in present:
                if not holds(name, entries, label):
                    entries.append(entry_of(name, label_levels(label)))
        changes: ListChanges = {
            name: entries for name, entries in after.items() if entries != lists.get(name)
        }
        own = replace(
            self,
            wrote={label: held for label, held in self.wrote.items() if label not in {*present, *absent}},
            rejected=tuple(sorted({*self.rejected, *absent} - {*present})),
            withdrawn=tuple(sorted({*self.withdrawn} - {*present, *absent})),
        )
        return changes, own

    def _levels(self, label: str) -> tuple[str, ...]:
        return label_levels(label, self.root)


def without(lists: Lists, own: OwnTags) -> Lists:
    """Return lists without a run's entries."""
    entries = {
        name: [
            entry_of(name, label_levels(label, own.root)) for label, held in own.wrote.items() if name in held
        ]
        for name in lists
    }
    return {name: [entry for entry in held if entry not in entries[name]] for name, held in lists.items()}
