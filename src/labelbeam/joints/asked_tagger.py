"""A tagger as a command line asks for it: a run, or several as an ensemble, with other decisions and searches.

Shared by the verbs that decide label sets; the options are `verbs.option_groups.DECIDE`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labelbeam.errors import InputError
from labelbeam.joints.choices import decision_from, search_from, with_settings
from labelbeam.joints.ensemble import load_ensemble
from labelbeam.joints.run_directory import load_run
from labelbeam.joints.tagger import Tagger

OF_DECISION = ("decide", "threshold", "tuned_for", "abstain")
OF_SEARCH = ("search", "beam", "settings")


def asked_tagger(runs: Sequence[Path], asked: Mapping[str, Any]) -> Tagger:
    """Load runs, with what the user asked for laid over their own configuration.

    Args:
        runs: run directories; several answer as one.
        asked: by name of the option, what was given.

    Raises:
        InputError: not a run; runs that do not fit together; values that are not allowed; a search for an ensemble,
            whose members each have their own, or `tuned_for` and `abstain`, which its members were not measured for.
    """
    several = len(runs) > 1
    if several and (wrong := [name for name in (*OF_SEARCH, "tuned_for", "abstain") if name in asked]):
        option = {"settings": "--set"}.get(wrong[0], "--" + wrong[0].replace("_", "-"))
        raise InputError(
            f"{option} is for one run: of {len(runs)} that answer as one, each is searched as it was trained, and no "
            "calibration holds. Leave it out, or give one run."
        )
    run = load_run(runs[0])
    config = with_settings(run.config, asked.get("settings", ()))
    decision = decision_from(
        config,
        decide=asked.get("decide"),
        threshold=asked.get("threshold"),
        tuned_for=asked.get("tuned_for"),
        abstain=asked.get("abstain"),
    )
    if several:
        return load_ensemble(runs, decision=decision)
    search = search_from(config, method=asked.get("search"), beam=asked.get("beam"))
    return Tagger(run, decision=decision, search=search)
