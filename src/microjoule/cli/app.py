"""The command line: `microjoule COMMAND`. Exit codes: 0 done; 1 a check failed; 2 the user can mend it; 130 Ctrl-C.

Telling of options must not take the seconds that torch takes to load. So the modules of commands import nothing but
what options need; all else they reach through `mj.` and `work.`, whose names are imported when they are first used.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from microjoule.cli import commands, streams
from microjoule.cli.choices import EXIT_USER_ERROR
from microjoule.cli.failures import JSON, VERBOSE, failed, interrupted
from microjoule.cli.pairs import joined_pairs
from microjoule.errors import MicrojouleWarning, SettingError

NAME = "microjoule"
HELP_NAMES = {"help_option_names": ["-h", "--help"]}

COMMANDS = {
    "quickstart": "The whole job once, on a network that comes along.",
    "inspect": "Print what a model is made of, and what was done to it.",
    "quantize": "Quantize a model.",
    "auto": "Quantize by the first recipe that keeps the accuracy; export, verify, measure, report.",
    "tradeoff": "Measure accuracy against cost, before you compress.",
    "compress": "Make a network cheaper without training.",
    "evaluate": "Score a model on labelled data.",
    "schedule": "Put operators in the order that takes the least memory.",
    "export": "Write a network as an ONNX file.",
    "verify": "Compare an exported file with the simulation, layer by layer.",
    "measure": "Measure latency, size and memory of ONNX files.",
    "report": "Write what was found as one HTML page.",
}
"""Every command with a line on it, in the order in which help lists them; the functions are in `commands`."""


class Commands(TyperGroup):
    """The commands, of which the one that is asked for is imported."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that shall run, explain itself, or complete its options."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed and imported(str(name)), rest


def imported(name: str) -> Any:
    """A command with its options."""
    single = typer.Typer(add_completion=False, rich_markup_mode="rich", context_settings=HELP_NAMES)
    single.command(name)(getattr(commands, name))
    return get_command(single)


app = typer.Typer(
    name=NAME, cls=Commands, pretty_exceptions_enable=False, rich_markup_mode="rich", context_settings=HELP_NAMES
)


def _listed() -> None:
    """A command as the list shows it."""


for command, summary in COMMANDS.items():
    app.command(command, help=summary)(_listed)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            print(f"{NAME} {version(NAME)}")
        except PackageNotFoundError:
            print(f"{NAME} from source")
        raise typer.Exit


@app.callback()
def microjoule(
    verbose: Annotated[
        bool, typer.Option(*VERBOSE, metavar="", help="Show tracebacks and warnings; may stand anywhere.")
    ] = False,
    show_version: Annotated[
        bool, typer.Option("--version", metavar="", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Make trained networks small, fast and frugal, and see that they still work.

    \b
    microjoule quickstart
    microjoule auto zoo:digits_resnet --data zoo:digits_test --out digits
    microjoule quantize model.pt2 --input-range 0,1 --out model.mj
    microjoule export model.mj --out model.onnx
    microjoule verify model.mj model.onnx --data images/
    microjoule report model.mj --out report.html

    Exit codes: 0 done, 1 a check failed, 2 something that you can mend, 3 an error of ours, 130 interrupted.
    """
    del verbose, show_version  # `main` and the callback have acted on them already


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and give its exit code; what goes wrong is one message on standard error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    streams.open_closed()
    with warnings.catch_warnings():
        warnings.simplefilter("default" if any(word in VERBOSE for word in given) else "ignore")
        warnings.simplefilter("default", MicrojouleWarning)
        warnings.showwarning = lambda message, *_: streams.say(f"Warning: {message}")
        return streams.finished(_guarded(given))


def _refuse_empty(words: Sequence[str]) -> None:
    """An empty path would be the current folder."""
    if "" in words:
        before = words[max(words.index("") - 1, 0)] or NAME
        raise SettingError(before, "is followed by an empty word", remedy="see whether a variable of the shell is set")


def _guarded(given: list[str]) -> int:
    words = joined_pairs([word for word in given if word not in VERBOSE])
    try:
        _refuse_empty(words)
        with streams.documents_only(wanted=JSON in words):
            code = app(words or ["--help"], prog_name=NAME, standalone_mode=False)
        return interrupted(code, given) if words else EXIT_USER_ERROR
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        return failed(error, given)
