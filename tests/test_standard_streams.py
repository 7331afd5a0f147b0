"""Output that nobody reads, that does not fit on a disk or into an encoding, ends nothing."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import attentune
import pytest
from attentune.standard_streams import ASCII_FORMS, ERROR_HANDLER, protect_standard_streams
from attentune.studies.database.store import Store
from command_line import NET, SMALL

PACKAGE = Path(attentune.__file__).parent
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX and /dev/full")
COMMANDS = (
    ["--help"],
    ["list"],
    ["show", "first"],
    ["attentions"],
    ["attentions", "se"],
    ["show", "nö\udcff"],
    ["show", "first", "--json"],
)
RUN_COMMANDS = f"""
import sys
from attentune.search.cli import main
for words in {COMMANDS!a}:
    sys.argv = ["attentune", *words]
    try:
        main()
    except SystemExit as ending:
        print(ending.code, file=sys.stderr)
"""


def run_python(code: str, **settings) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, **settings)


@pytest.fixture
def folder(tmp_path):
    """A folder with the database of an empty study."""
    with Store.open(tmp_path / "attentune.db", create=True) as store:
        store.studies.create(
            "first", backbone="resnet18", objectives=("accuracy", "params"), config={}, seed=0
        )
    return tmp_path


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "dumb"},
    ],
    ids=lambda variables: next(iter(variables.values())),
)
def test_every_command_prints_in_every_encoding(folder, variables):
    done = run_python(RUN_COMMANDS, cwd=folder, env={**os.environ, **variables})
    errors = done.stderr.decode(variables.get("PYTHONIOENCODING", "ascii"))
    codes = [line for line in errors.splitlines() if line.isdigit()]
    assert codes == ["0", "0", "0", "0", "0", "1", "0"], errors
    assert "Traceback" not in errors
    assert '"study": "first"' in done.stdout.decode(variables.get("PYTHONIOENCODING", "ascii"))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_character_that_an_encoding_lacks_is_written_in_ascii(encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=ERROR_HANDLER)
    protect_standard_streams()  # Registers the handler.
    stream.write("10 ± 1 → 2 × 3 … 中 \udcff")
    stream.flush()
    written = stream.buffer.getvalue().decode(encoding)
    assert written.endswith(" \\udcff")
    assert (
        written.replace("±", "+-")
        .replace("×", "x")
        .replace("→", "->")
        .replace("…", "...")
        .replace("中", "\\u4e2d")
        == "10 +- 1 -> 2 x 3 ... \\u4e2d \\udcff"
    )


def test_all_characters_of_the_terminal_have_an_ascii_form():
    used: set[str] = set()
    for file in (*PACKAGE.glob("search/**/*.py"), *PACKAGE.glob("studies/text/*.py")):
        nodes = list(ast.walk(ast.parse(file.read_text("utf-8"))))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        texts = (n.value for n in nodes if isinstance(n, ast.Constant) and id(n) not in docstrings)
        used |= {c for text in texts if isinstance(text, str) for c in text if not c.isascii()}
    assert len(used) > 5
    assert used <= ASCII_FORMS.keys()
    assert all(form.isascii() for form in ASCII_FORMS.values())


@POSIX
def test_a_reader_that_has_read_enough_ends_a_command_quietly(folder):
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "attentune", "show", "first"]
    done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, cwd=folder)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, b"")


@POSIX
def test_output_that_does_not_fit_on_the_disk_is_stated(folder):
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "attentune", "list"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=folder)
    assert done.returncode == 1
    assert done.stderr == b"Error: cannot write the output: No space left on device\n"


@POSIX
def test_a_process_without_streams_keeps_their_numbers_from_files(tmp_path):
    """The database would otherwise be standard output, and every print would write into it."""
    code = """
import os, sys
from attentune.standard_streams import protect_standard_streams
protect_standard_streams()
with open("file", "w") as file:
    print("printed"); print("printed", file=sys.stderr); os.write(1, b"written")
    file.write(f"{file.fileno() > 2} {sys.stdin.read()!r}")
"""
    command = ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code]
    assert subprocess.run(command, cwd=tmp_path).returncode == 0
    assert (tmp_path / "file").read_text("utf-8") == "True ''"


@POSIX
def test_a_worker_that_prints_does_not_fail_when_nobody_reads():
    code = """
import os, sys
from attentune.standard_streams import protect_standard_streams
protect_standard_streams(drop_output=True)
read_end, write_end = os.pipe(); os.close(read_end); os.dup2(write_end, 1)
print("an attention prints" * 10_000, flush=True); print("more", flush=True)
"""
    done = run_python(code)
    assert (done.returncode, done.stderr) == (0, b"")


@POSIX
def test_a_search_goes_on_without_its_reader_and_says_so(tmp_path):
    command = [sys.executable, "-m", "attentune", "search", "s", *NET, *SMALL]
    command += ["--epochs", "1", "--trials", "2", "--space", "quick"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as search:
        assert search.stdout.readline()
        search.stdout.close()  # As `| head -1` does.
        said = search.stderr.read().decode()
    assert search.returncode == 0, said
    assert said.count("the search continues and is recorded. Ctrl-C stops it.") == 1
    with Store.open(tmp_path / "attentune.db", read_only=True) as store:
        assert [trial.state for trial in store.trials.read("s")] == ["complete"] * 2
