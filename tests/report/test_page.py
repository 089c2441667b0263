import json
import re
import subprocess
import sys

import pytest

from microjoule.errors import DataError, FileError
from microjoule.records.facts import Captured, WeightRanges
from microjoule.records.measured import Evaluated
from microjoule.report.page import page, report
from tests.report.samples import records

HOSTILE = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>{{ 7 * 7 }}\u2028"


def own_part(text):
    """The page without plotly's own script."""
    return re.sub(r"<script>/\*\*\n\* plotly\.js.*?</script>", "", text, flags=re.DOTALL)


def test_the_file_is_written_whole_and_nothing_beside_it(tmp_path):
    path = report(records(), tmp_path / "report.html", title="A run")
    assert path == tmp_path / "report.html"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")
    assert "<title>A run</title>" in text
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]


def test_the_page_refers_to_nothing_outside_itself():
    text = own_part(page(records(), title="x"))
    assert len(text) < 1_000_000
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)
    assert "@import" not in text
    assert "url(" not in text


def test_plotly_cannot_end_its_script_early():
    assert page(records(), title="x").count("</script>") == 3


def test_names_from_a_model_are_text_wherever_they_stand():
    weights = next(record for record in records() if isinstance(record, WeightRanges))
    history = [
        Captured(HOSTILE, {HOSTILE: 1}, (), (HOSTILE,), 0.0, True, 1.0),
        Evaluated(HOSTILE, HOSTILE, 1.0, HOSTILE, 1, HOSTILE, 1.0),
        WeightRanges(HOSTILE, {HOSTILE: weights.layers["stem.conv"]}),
    ]
    text = own_part(page(history, title=HOSTILE))
    assert "<script>window" not in text
    assert "<img" not in text
    assert "49" not in re.findall(r"<title>(.*?)</title>", text, re.DOTALL)[0]
    figures = re.search(r'id="figures">(.*?)</script>', text, re.DOTALL)[1]
    assert "<" not in figures
    assert "weights" in json.loads(figures)


def test_a_name_that_utf8_cannot_hold_does_not_stop_the_report(tmp_path):
    report([Evaluated("\ud800", "top-1", 1.0, "%", 1, "x", 1.0)], tmp_path / "x.html")


def test_no_records_are_refused(tmp_path):
    with pytest.raises(DataError, match="there are none to report"):
        report([], tmp_path / "x.html")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(FileError, match="make the folder first"):
        report(records(), tmp_path / "missing" / "x.html")


def test_a_report_is_drawn_without_torch():
    code = "import sys, microjoule.report.page; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
