"""From nothing to a checked package, on a clean machine's terms, for each template, with pip and with uv, and timed.

In parentheses stand the seconds of CPU, which say more on a busy machine.

    python -m tests.new.installed [TEMPLATE ...] [--installer pip|uv]

Wheels of langplug and langplug-check are built and installed in a fresh environment; `langplug new` makes a package;
that is installed with its tests, checked by its name, and tested. Everything else comes from the index, as for anybody.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from langplug.new import TEMPLATES

ROOT: Final = Path(__file__).parents[2]
BEFORE_NEW: Final = ("venv", "langplug")
"""Steps that whoever calls `langplug new` has behind them."""


def cpu_of_children() -> float:
    """Seconds of CPU that the programs which have ended took."""
    used = os.times()
    return used.children_user + used.children_system


class Machine:
    """A fresh environment, and how long each step in it took, in seconds, and of CPU.

    Args:
        folder: Where the environment is made.
        installer: `pip` or `uv`.
        wheels: The folder of langplug's own wheels.
    """

    def __init__(self, folder: Path, installer: str, wheels: Path) -> None:
        self.bin = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
        self.folder = folder
        self.seconds: dict[str, tuple[float, float]] = {}
        uv = [sys.executable, "-m", "uv"]
        if installer == "uv":
            self.installs = [*uv, "pip", "install", "--python", str(self.bin / "python")]
            self.run("venv", *uv, "venv", "--python", sys.executable, str(self.bin.parent))
        else:
            self.installs = [str(self.bin / "python"), "-m", "pip", "install"]
            self.run("venv", sys.executable, "-m", "venv", str(self.bin.parent))
        self.installs += ["--quiet", "--find-links", str(wheels)]

    def install(self, step: str, *wishes: str) -> None:
        """Install what is wished for."""
        self.run(step, *self.installs, *wishes)

    def langplug(self, *args: str) -> str:
        """What the command `langplug` prints; its verb is the step."""
        return self.run(args[0], str(self.bin / "langplug"), *args)

    def run(self, step: str, *command: str) -> str:
        """What a command prints, once it has ended well."""
        # PYTHONPATH may name this checkout, which would then be imported instead of what was installed.
        outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        begun, cpu_before = time.monotonic(), cpu_of_children()
        done = subprocess.run(
            command, cwd=self.folder, env=outside, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        self.seconds[step] = time.monotonic() - begun, cpu_of_children() - cpu_before
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


def build(folder: Path) -> None:
    """Build the wheels of langplug and of its test kit."""
    for project in (ROOT, ROOT / "check"):
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
        subprocess.run(command, cwd=project, check=True, capture_output=True)


def try_template(template: str, installer: str, wheels: Path, folder: Path) -> dict[str, tuple[float, float]]:
    """Go the whole way with a template, and return the seconds of each step, and those of CPU."""
    machine = Machine(folder, installer, wheels)
    machine.install("langplug", "langplug")
    machine.langplug("new", "acme", "--template", template)
    machine.folder = folder / "acme"
    machine.install("package", "--editable", ".[test]")
    if TEMPLATES[template].prepare:
        machine.langplug("pull", "smollm2")
    report = json.loads(machine.langplug("check", "acme", "--json"))
    if not report["ready"]:
        sys.exit(f"the model of the template {template} is not ready")
    machine.run("pytest", str(machine.bin / "python"), "-m", "pytest", "-q")
    seconds = dict(machine.seconds)
    if template != "http" and not machine.langplug("chat", "acme", "--prompt", "Hello").strip():  # that has no server
        sys.exit(f"the model of the template {template} has nothing to say")
    return seconds


def main() -> None:
    """Try the templates and installers that are named, by default all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("templates", nargs="*", default=list(TEMPLATES))
    parser.add_argument("--installer", choices=["pip", "uv"], action="append")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder) / "wheels"
        build(wheels)
        for template in args.templates:
            for installer in args.installer or ["pip", "uv"]:
                place = Path(folder) / f"{template}-{installer}"
                place.mkdir()
                seconds = try_template(template, installer, wheels, place)
                steps = ", ".join(f"{step} {taken:.0f} ({cpu:.0f})" for step, (taken, cpu) in seconds.items())
                since_new = [both for step, both in seconds.items() if step not in BEFORE_NEW]
                taken, cpu = map(sum, zip(*since_new, strict=True))
                sys.stdout.write(f"{template:<9} {installer:<4} {taken:4.0f} s ({cpu:.0f}) from `new` on: {steps}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
