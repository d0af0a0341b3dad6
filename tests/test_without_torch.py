"""What an installation without PyTorch uses imports without it; what trains may need it."""

import json
import subprocess
import sys

IMPORTS = """
import importlib, json, pkgutil, sys
sys.modules.update(dict.fromkeys(("torch", "accelerate", "timm", "torchvision")))
import labelbeam
failed = {}
for module in pkgutil.walk_packages(labelbeam.__path__, "labelbeam."):
    # Its extra asks for PyTorch, and SciPy asks what stands here in its place for a class.
    if not module.name.endswith(("__main__", "labelbeam.sklearn")):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            failed[module.name] = error.name
print(json.dumps(failed))
"""

NEEDS_TORCH = {
    *(
        "demo",
        "explain.explained_run",
        "explain.methods",
        "runs.export",
        "tagging.sources",
    ),
    *(
        "encoders.catalogue",
        "encoders.engines",
        "encoders.graph_export",
        "encoders.image_encoder",
        "encoders.networks",
    ),
    *("encoders.timm_encoder", "encoders.weights"),
    *("report.page", "report.report"),
}
"""Modules that train, run or explain a network; beside these `training`, `paper` and `heads.*_torch`."""


def test_tagging_suggesting_and_evaluating_import_no_pytorch() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    failed = {name: missing for name, missing in json.loads(done.stdout).items() if missing == "torch"}
    assert "labelbeam.heads.label_model_torch" in failed  # or nothing was kept from importing it
    names = {name.removeprefix("labelbeam.") for name in failed} - NEEDS_TORCH
    assert not {
        name
        for name in names
        if name.split(".")[0] not in ("training", "paper") and not name.endswith("_torch")
    }


def test_a_verb_that_trains_says_which_extra_it_needs() -> None:
    call = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'accelerate')));"
        "from labelbeam.cli.app import main; sys.argv = ['labelbeam', 'demo', '--out', '/tmp/never']; main()"
    )
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'labelbeam[torch]'" in done.stderr
    assert "Traceback" not in done.stderr
