"""Whatever ends a command is one line and an exit status, Ctrl-C at any moment included."""

import io
import subprocess
import sys
from typing import Any

import pytest

from botzoo.errors import BotzooError, ConfigError, StoppedError
from botzoo.util.guard import ENDING, guarded


def raising(error: BaseException) -> Any:
    def main(argv: list[str]) -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ConfigError("--lr is 0."), 2, "prog: --lr is 0.\n"),
        (BotzooError("No."), 2, "prog: No.\n"),
        (StoppedError("Stopped."), 130, "\nprog: Stopped.\n"),
        (PermissionError(13, "Permission denied", "runs"), 2, "prog: Permission denied (runs): make room or"),
        (RuntimeError("you tried to allocate memory: no"), 2, "prog: out of memory in the middle"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, BaseException) else "",
)
def test_errors_become_a_line_and_a_status(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, said: str
) -> None:
    assert guarded("prog", raising(error), []) == status
    captured = capsys.readouterr()
    assert captured.err.startswith(said)
    assert (captured.err.strip().count("\n"), captured.out) == (0, "")


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ConfigError):
        guarded("prog", raising(ConfigError("no")), ["--debug"])


def test_a_traceback_has_no_secret_and_no_escape_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(ValueError, match="SECRET") as raised:
        guarded("prog", raising(ValueError("http://alice:SECRET@host/\x1b[2J")), [])
    sys.excepthook(raised.type, raised.value, raised.tb)
    assert capsys.readouterr().err.endswith("ValueError: http://***@host/\\x1b[2J\n")


def test_success_is_status_0() -> None:
    assert guarded("prog", lambda argv: None, []) == 0


def test_letters_that_the_terminal_does_not_know_are_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert guarded("prog", lambda argv: print("\u00e9\U0001f600", flush=True), []) == 0
    assert written.getvalue().decode().strip() == "\\xe9\\U0001f600"


def test_a_mistake_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        guarded("prog", raising(ZeroDivisionError()), [])


CTRL_C = """
import os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from botzoo.util.guard import guarded
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # as this one
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and under nohup

def press():
    os.kill(os.getpid(), int(sys.argv[2]))
    threading.Event().wait(60)

def at_work(argv):
    press()

def importing(argv):
    try:
        press()
    except KeyboardInterrupt as error:  # as pybind11 does
        raise ImportError("initialization failed") from error

def waiting(argv):
    ThreadPoolExecutor().submit(threading.Event().wait, 300)
    press()

class Deleted:
    def __del__(self):
        press()

def deleting(argv):
    Deleted()
    raise ConfigError("no")

sys.exit(guarded("prog", vars()[sys.argv[1]], []))
"""


@pytest.mark.parametrize(
    ("moment", "number"),
    [(moment, ENDING[0]) for moment in ("at_work", "importing", "waiting", "deleting")]
    + [("at_work", n) for n in ENDING[1:]],
)
def test_a_signal_is_one_line_and_a_status(moment: str, number: int) -> None:
    words = [sys.executable, "-c", CTRL_C, moment, str(int(number))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "\nprog: Interrupted.\n")


def test_the_guard_stands_before_what_takes_time_to_import() -> None:
    heavy = ("yaml", "numpy", "torch", "wrapt")
    code = f"import sys, botzoo.cli, botzoo_finetune.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


CTRL_C_WHILE_IMPORTING = """
import sys
from importlib import import_module

class Pressed:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "botzoo.errors":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Pressed)
import_module(sys.argv[1])
"""


@pytest.mark.parametrize(("module", "prog"), [("botzoo.cli", "botzoo"), ("botzoo_finetune.cli", "botzoo-finetune")])
def test_ctrl_c_before_the_guard_stands_is_one_line_too(module: str, prog: str) -> None:
    words = [sys.executable, "-c", CTRL_C_WHILE_IMPORTING, module]
    done = subprocess.run(words, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"\n{prog}: Interrupted.\n")
