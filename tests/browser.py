"""What a browser makes of a page, where the machine has one that can start."""

import resource
import shutil
import subprocess
from pathlib import Path

import pytest

_CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_MEMORY = resource.getrlimit(resource.RLIMIT_AS)[0]

needs_browser = pytest.mark.skipif(
    _CHROMIUM is None or _MEMORY != resource.RLIM_INFINITY,
    reason="no Chromium is installed, or `ulimit -v` keeps it from the address space it reserves",
)


def dom_of(address: str, profile: Path, *flags: str) -> str:
    """A page after its scripts. profile: a folder of the browser's own."""
    assert _CHROMIUM is not None
    command = [_CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", *flags]
    command += [f"--user-data-dir={profile}", "--dump-dom", address]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return ended.stdout
