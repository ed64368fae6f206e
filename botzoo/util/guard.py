"""The outermost frame of every command: whatever ends it is said in one line, with an exit status.

Next to nothing is imported here, so that the frame stands before what takes time to import.
"""

import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

from botzoo.errors import BotzooError, StoppedError
from botzoo.util.environment import check_environment
from botzoo.util.outgoing import say

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name))
"""The signals that ask a process to end: Ctrl-C, a scheduler, a terminal that is closed, Ctrl-\\."""

HELP = {"-h", "--help", "--help-all", "--version"}
"""What is answered in any environment."""


def guarded(
    prog: str, main: Callable[[list[str]], object], argv: list[str], *, interrupted: str = "Interrupted."
) -> int:
    """Call ``main(argv)``; an error becomes one line on standard error and an exit status: 2, or 130 after Ctrl-C.

    ``prog`` begins the line, and ``interrupted`` is that after one of ``ENDING``, whose status is 128 and its number; --debug
    in ``argv`` shows the traceback of an error.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may know few letters, and names may have any
        sys.stdout.reconfigure(errors="backslashreplace")
    with _ending() as pressed:
        try:
            if HELP.isdisjoint(argv):
                check_environment()
            main(argv)
            return 0
        except SystemExit:
            raise
        except StoppedError as stopped:
            if not _rank():
                say("", f"{prog}: {stopped}", file=sys.stderr)
            return stopped.exit_status
        except BrokenPipeError:  # whoever read standard output, such as head, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141  # 128 and SIGPIPE, as the shell reports it
        except BaseException as error:  # KeyboardInterrupt is no Exception
            if pressed or isinstance(error, KeyboardInterrupt):
                if not _rank():
                    say("", f"{prog}: {interrupted}", file=sys.stderr)
                if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
                    with suppress(OSError):
                        sys.stdout.flush()
                        sys.stderr.flush()
                    os._exit(
                        128 + ended_by(error, pressed)
                    )  # or it would wait for threads, which may wait for a server
                return 128 + ended_by(error, pressed)
            line = _in_one_line(error)
            if line is None or "--debug" in argv:
                sys.excepthook = _show_traceback
                raise
            say(f"{prog}{_rank()}: {line}", file=sys.stderr)
            return 2


def _show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback, in which the errors of other libraries may quote anything."""
    say(*"".join(traceback.format_exception(error)).splitlines(), file=sys.stderr)


def ended_by(error: BaseException, pressed: list[int] | None = None) -> int:
    """Return the number of the signal that ``error``, a KeyboardInterrupt, or the first that was ``pressed`` stands for."""
    return next((n for n in (*(pressed or ()), *error.args) if isinstance(n, int)), int(signal.SIGINT))


def _in_one_line(error: BaseException) -> str | None:
    """Return what to say of an error, None where its traceback says more."""
    if isinstance(error, BotzooError):
        return str(error)
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or error}{where}: make room or mend the permissions; --debug shows where."
    out_of_memory = type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)
    if isinstance(error, RuntimeError) and out_of_memory:
        return (
            "out of memory in the middle of the run: go on with --resume where nothing else takes memory, or begin a new run "
            "with a smaller --engine.micro-batch."
        )
    return None


@contextmanager
def _ending() -> Iterator[list[int]]:
    """Within the block, note the signals of ``ENDING``: importing C code turns KeyboardInterrupt into other errors.

    Each raises KeyboardInterrupt with its number. What cannot be raised, in a callback of the import system for one, is not
    printed either.
    """
    pressed: list[int] = []

    def press(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        sys.unraisablehook = lambda _: None
        raise KeyboardInterrupt(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    main = threading.current_thread() is threading.main_thread()
    # One that is ignored stays so: SIGINT is in the background, SIGHUP under nohup.
    ours = [n for n, at in before.items() if main and at in (signal.default_int_handler, signal.SIG_DFL)]
    for number in ours:
        signal.signal(number, press)
    try:
        yield pressed
    finally:
        for number in ours:  # a second one ends what is left without a word
            signal.signal(number, signal.SIG_DFL if pressed else before[number])


def _rank() -> str:
    """Return which process speaks, where a launcher started several and it is not the first."""
    rank = os.environ.get("RANK", "0")
    return "" if rank == "0" else f" [rank {rank}]"
