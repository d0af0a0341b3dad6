"""The shim acts only where torchvision's compiled part cannot be loaded; each case in its own process."""

import importlib.util
import subprocess
import sys

import pytest

IN_TURN = """
import torch
from pathlib import Path
from labelbeam.encoders import timm_encoder as shim

def refuse(path):
    raise OSError("libcudart.so: cannot open shared object file")

def answers():
    return shim.declare_missing_schemas(), hasattr(torch.ops.torchvision, "nms")

shim._compiled_part = lambda: None
print("absent", *answers())
shim._compiled_part = lambda: Path("_C.so")
torch.ops.load_library = lambda path: None
print("whole", *answers())
torch.ops.load_library = refuse
print("broken", *answers())
print("again", *answers())
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_schemas_are_declared_only_where_the_compiled_part_cannot_be_loaded_and_once() -> None:
    said = run(IN_TURN).splitlines()
    assert said == ["absent False False", "whole False False", "broken True True", "again True True"]


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed")
def test_timm_imports_beside_the_installed_torchvision() -> None:
    """Without the shim this fails on a CPU-only torch; where torchvision is whole the shim must not act."""
    code = (
        "from labelbeam.encoders.timm_encoder import timm_module\n"
        "from labelbeam.encoders.timm_encoder import declare_missing_schemas\n"
        "import torch\n"
        "timm_module(); import torchvision\n"
        "works = torch._C._dispatch_has_kernel_for_dispatch_key('torchvision::nms', 'CPU')\n"
        "print(declare_missing_schemas() != works)"
    )
    assert run(code) == "True"
