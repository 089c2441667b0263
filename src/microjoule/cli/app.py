"""The command line: `microjoule COMMAND`. Exit codes: 0 done; 1 a check failed; 2 the user can mend it; 130 Ctrl-C."""

import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from microjoule.cli import auto, compress, deploy, evaluate, inspect, quantize, quickstart, report, schedule, tradeoff
from microjoule.cli.names import EXIT_INTERRUPTED, EXIT_OUR_ERROR, EXIT_USER_ERROR
from microjoule.cli.values import joined_pairs
from microjoule.errors import MicrojouleError
from microjoule.records.machine import this_machine

VERBOSE = ("-v", "--verbose")

app = typer.Typer(
    name="microjoule",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def microjoule(
    verbose: Annotated[bool, typer.Option(*VERBOSE, help="Show tracebacks and warnings; may stand anywhere.")] = False,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """Make trained networks small, fast and frugal, and see that they still work.

    \b
    microjoule quickstart
    microjoule quantize zoo:digits_mobilenet_v2 --target per-tensor --out digits.mj
    microjoule evaluate digits.mj --data zoo:digits_test --keep digits.mj
    microjoule export digits.mj --out digits.onnx --keep digits.mj
    microjoule verify digits.mj digits.onnx --data zoo:digits_test --keep digits.mj
    microjoule schedule digits.onnx --out digits.small.onnx
    microjoule report digits.mj

    Exit codes: 0 done, 1 a check failed, 2 something that you can mend, 3 an error of ours, 130 interrupted.
    """
    del verbose, show_version  # `main` has acted on them already


for command in (
    quickstart.quickstart,
    inspect.inspect,
    quantize.quantize,
    auto.auto,
    tradeoff.tradeoff,
    compress.compress,
    evaluate.evaluate,
    schedule.schedule,
    deploy.export,
    deploy.verify,
    deploy.measure,
    report.report,
):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and give its exit code; what goes wrong is one message on standard error."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--version" in given[:1]:
        print(f"microjoule {this_machine().versions.get('microjoule', 'from source')}")
        return 0
    verbose = any(word in VERBOSE for word in given)
    with warnings.catch_warnings():
        if not verbose:
            warnings.simplefilter("ignore")
        return _guarded(joined_pairs([word for word in given if word not in VERBOSE]), verbose=verbose)


def _guarded(arguments: list[str], *, verbose: bool) -> int:
    try:
        app(arguments, prog_name="microjoule")
    except SystemExit as finished:
        code = finished.code if isinstance(finished.code, int) else EXIT_USER_ERROR
        return _interrupted(arguments) if code == EXIT_INTERRUPTED else code
    except KeyboardInterrupt:
        return _interrupted(arguments)
    except MicrojouleError as error:
        return _fail(str(error), EXIT_USER_ERROR, verbose=verbose)
    except Exception as error:
        fact = f"microjoule: {type(error).__name__}: {error}\n  an error of ours: please report it with what -v shows"
        return _fail(fact, EXIT_OUR_ERROR, verbose=verbose)
    return 0


def _interrupted(arguments: Sequence[str]) -> int:
    kept = any(word.startswith("--work-folder") for word in arguments)
    told = "interrupted; the same command goes on from its work folder" if kept else "interrupted"
    print(told, file=sys.stderr)
    return EXIT_INTERRUPTED


def _fail(message: str, code: int, *, verbose: bool) -> int:
    if verbose:
        traceback.print_exc()
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
