"""The build script as a module: it lies outside the package, since nothing that is installed needs it."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_spec = spec_from_file_location("kubetune_images_build", ROOT / "images" / "build.py")
assert _spec is not None and _spec.loader is not None
build = module_from_spec(_spec)
sys.modules[_spec.name] = build
_spec.loader.exec_module(build)
