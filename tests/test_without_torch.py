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
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            failed[module.name] = error.name
print(json.dumps(failed))
"""

FREE = {
    *(
        "analysis",
        "answers",
        "data",
        "decoding",
        "errors",
        "features",
        "formats",
        "heads",
        "metrics",
        "pages",
    ),
    *("project", "scenes", "service", "verbs", "cli"),
}
"""Folders of which every module must do without."""

JOINTS = {
    *("build", "calibrating", "choices", "config", "device", "embedding", "ensemble", "evaluation"),
    *("exported_encoder", "features", "label_space", "run_directory", "suggester", "suggestions", "tagger"),
}
"""Joints that must."""


def test_tagging_suggesting_and_evaluating_import_no_pytorch() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    failed = {name: missing for name, missing in json.loads(done.stdout).items() if missing == "torch"}
    assert "labelbeam.heads.label_model_torch" in failed  # or nothing was kept from importing it
    wrong = {name for name in failed if name.split(".")[1] in FREE}
    wrong |= {name for name in failed if name.removeprefix("labelbeam.joints.") in JOINTS}
    assert not wrong


def test_a_verb_that_trains_says_which_extra_it_needs() -> None:
    call = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'accelerate')));"
        "from labelbeam.cli import main; sys.argv = ['labelbeam', 'demo', '--out', '/tmp/never']; main()"
    )
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'labelbeam[torch]'" in done.stderr
    assert "Traceback" not in done.stderr
