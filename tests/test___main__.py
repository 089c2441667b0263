"""`python -m microjoule` is the command line."""

import subprocess
import sys


def run(*words):
    return subprocess.run([sys.executable, "-m", "microjoule", *words], capture_output=True, text=True, check=False)


def test_it_is_the_command_line():
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("microjoule ")


def test_its_exit_code_is_that_of_the_command_line():
    done = run("nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "microjoule: no such command 'nonsense'\n  microjoule --help shows what there is\n"
