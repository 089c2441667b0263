"""What a command prints: one document for machines, tables for people."""

import json

from microjoule.cli.output import finish, plain_table, written_table
from microjoule.records.measured import ErrorsByLayer, LayerError

RECORD = ErrorsByLayer(1, (LayerError("a", 30.0),))


def test_machines_get_one_document_and_nothing_else(capsys):
    finish([RECORD], "for people", as_json=True, out="x.mj")
    printed = capsys.readouterr().out
    found = json.loads(printed)
    assert found["out"] == "x.mj"
    assert found["records"][0]["record"] == "ErrorsByLayer"
    assert "for people" not in printed


def test_people_get_what_is_shown(capsys):
    finish([RECORD], "for people", plain_table("Title", ("name", "size"), [("a", "[1]")]), as_json=False)
    printed = capsys.readouterr().out
    assert "for people" in printed
    assert "[1]" in printed


def test_files_are_told_with_their_sizes(capsys, tmp_path):
    path = tmp_path / "[x].mj"
    path.write_bytes(bytes(1500))
    finish([], written_table({path: "the network"}), as_json=False)
    line = capsys.readouterr().out.splitlines()[-1].split()
    assert line == [str(path), "1.50", "kB", "the", "network"]
