"""A run of 300 rows over SmolLM2 with a schema, ended twice: by Ctrl-C, and by `kill -9`.

    langplug pull smollm2 && python benchmarks/batch_interrupted.py [--rows 300]

The questions are over chemical elements and capitals. The output must have each row once, with an answer that fits the
schema, as that of a run that nobody has ended has; a row that was safe is not asked again. Whether the answers are
right is the model's business, and is counted: it has 135 million parameters.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ELEMENTS = """
H Hydrogen, He Helium, Li Lithium, Be Beryllium, B Boron, C Carbon, N Nitrogen, O Oxygen, F Fluorine, Ne Neon, Na
Sodium, Mg Magnesium, Al Aluminium, Si Silicon, P Phosphorus, S Sulfur, Cl Chlorine, Ar Argon, K Potassium, Ca
Calcium, Sc Scandium, Ti Titanium, V Vanadium, Cr Chromium, Mn Manganese, Fe Iron, Co Cobalt, Ni Nickel, Cu Copper, Zn
Zinc, Ga Gallium, Ge Germanium, As Arsenic, Se Selenium, Br Bromine, Kr Krypton, Rb Rubidium, Sr Strontium, Y Yttrium,
Zr Zirconium, Nb Niobium, Mo Molybdenum, Tc Technetium, Ru Ruthenium, Rh Rhodium, Pd Palladium, Ag Silver, Cd Cadmium,
In Indium, Sn Tin, Sb Antimony, Te Tellurium, I Iodine, Xe Xenon, Cs Caesium, Ba Barium, La Lanthanum, Ce Cerium, Pr
Praseodymium, Nd Neodymium, Pm Promethium, Sm Samarium, Eu Europium, Gd Gadolinium, Tb Terbium, Dy Dysprosium, Ho
Holmium, Er Erbium, Tm Thulium, Yb Ytterbium, Lu Lutetium, Hf Hafnium, Ta Tantalum, W Tungsten, Re Rhenium, Os Osmium,
Ir Iridium, Pt Platinum, Au Gold, Hg Mercury, Tl Thallium, Pb Lead, Bi Bismuth, Po Polonium, At Astatine, Rn Radon, Fr
Francium, Ra Radium, Ac Actinium, Th Thorium, Pa Protactinium, U Uranium, Np Neptunium, Pu Plutonium
"""

CAPITALS = """
Vienna Austria, Brussels Belgium, Sofia Bulgaria, Zagreb Croatia, Prague Czechia, Copenhagen Denmark, Tallinn Estonia,
Helsinki Finland, Paris France, Berlin Germany, Athens Greece, Budapest Hungary, Dublin Ireland, Rome Italy, Riga
Latvia, Vilnius Lithuania, Valletta Malta, Amsterdam Netherlands, Warsaw Poland, Lisbon Portugal, Bucharest Romania,
Bratislava Slovakia, Ljubljana Slovenia, Madrid Spain, Stockholm Sweden, Oslo Norway, Reykjavik Iceland, Bern
Switzerland, Kyiv Ukraine, Ankara Turkey, Cairo Egypt, Tunis Tunisia, Algiers Algeria, Rabat Morocco, Tripoli Libya,
Khartoum Sudan, Nairobi Kenya, Kampala Uganda, Kigali Rwanda, Lusaka Zambia, Harare Zimbabwe, Luanda Angola, Windhoek
Namibia, Accra Ghana, Dakar Senegal, Abuja Nigeria, Tokyo Japan, Seoul Korea, Beijing China, Hanoi Vietnam, Bangkok
Thailand, Manila Philippines, Jakarta Indonesia, Dhaka Bangladesh, Kathmandu Nepal, Tehran Iran, Baghdad Iraq, Amman
Jordan, Beirut Lebanon, Muscat Oman, Canberra Australia, Wellington Zealand, Ottawa Canada, Havana Cuba, Lima Peru,
Quito Ecuador, Santiago Chile, Montevideo Uruguay, Brasilia Brazil, Caracas Venezuela
"""

SCHEMA = {
    "title": "Answer",
    "type": "object",
    "properties": {"answer": {"type": "string", "maxLength": 24}, "sure": {"type": "boolean"}},
    "required": ["answer", "sure"],
    "additionalProperties": False,
}


def facts() -> Iterator[tuple[str, str]]:
    """Questions, and their answers."""
    for number, pair in enumerate(ELEMENTS.split(","), 1):
        symbol, name = pair.split()
        yield f"What is the chemical symbol of {name.lower()}?", symbol
        yield f"What is the atomic number of {name.lower()}?", str(number)
        yield f"Which chemical element has the symbol {symbol}?", name
    for pair in CAPITALS.split(","):
        city, country = pair.split()
        yield f"What is the capital of {country}?", city


def lines(file: Path) -> list[dict[str, Any]]:
    """The whole lines of a file that may be growing."""
    text = file.read_bytes() if file.exists() else b""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]


def run(folder: Path, *, ends_at: int | None = None, by: signal.Signals = signal.SIGINT) -> tuple[int, float, str]:
    """One run; with `ends_at`, a signal ends it at so many rows. Returns exit code, seconds and last line."""
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "  # whoever started this
    code += "from langplug.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "batch", "langplug.models:ChatGGUF", "in.jsonl", "-o", "out.jsonl"]
    command += ["--schema", "schema.json", "--set", "temperature=0", "--set", "max_tokens=48", "--json"]
    began = time.monotonic()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while ends_at is not None and process.poll() is None and len(lines(folder / "out.jsonl.part")) < ends_at:
            time.sleep(0.05)
        if ends_at is not None:
            os.kill(process.pid, by)
        told, said = process.communicate()
    return process.returncode, time.monotonic() - began, told.strip() or said.strip().splitlines()[-1]


def main() -> None:
    """Run, look at the output, and print what there was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300, help="how many rows (default: 300)")
    count = parser.parse_args().rows
    known = dict(enumerate([*facts()][-count:]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = [{"id": number, "prompt": question} for number, (question, _) in known.items()]
        (folder / "in.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in asked))
        (folder / "schema.json").write_text(json.dumps(SCHEMA))
        for ends_at, by in ((count // 5, signal.SIGINT), (count // 2, signal.SIGKILL), (None, signal.SIGINT)):
            status, seconds, told = run(folder, ends_at=ends_at, by=by)
            print(f"exit {status} after {seconds:.1f} s: {told}", flush=True)
        answers = {int(record["id"]): record for record in lines(folder / "out.jsonl")}
        assert len(lines(folder / "out.jsonl")) == count, "each row is there once"
        assert set(answers) == set(known), "and each is there"
        wrong = [record for record in answers.values() if not fits(record.get("parsed"))]
        assert not wrong, wrong[:3]
    right = sum(known[number][1].lower() in record["parsed"]["answer"].lower() for number, record in answers.items())
    print(f"{count} rows, each once, each fits the schema; {right} are right")


def fits(parsed: Any) -> bool:
    """Whether an answer fits the schema, in words of its own."""
    return (
        isinstance(parsed, dict)
        and set(parsed) == {"answer", "sure"}
        and isinstance(parsed["sure"], bool)
        and isinstance(parsed["answer"], str)
        and len(parsed["answer"]) <= 24
    )


if __name__ == "__main__":
    main()
