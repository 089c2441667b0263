"""`microjoule report`: the page of a saved network."""

import pytest


@pytest.mark.slow
def test_the_page_is_written(command, quantized, tmp_path):
    page = tmp_path / "page.html"
    code, out, err = command("report", quantized, "--out", page)
    assert code == 0, err
    assert str(page) in out
    assert "<html" in page.read_text()[:500].lower()


def test_a_model_without_a_history_is_refused(command, program, tmp_path):
    page = tmp_path / "page.html"
    code, _, err = command("report", program, "--out", page)
    assert (code, page.exists()) == (2, False)
    assert "model.pt2: has no history to report" in err


def test_a_missing_folder_is_named(command, quantized, tmp_path):
    code, _, err = command("report", quantized, "--out", tmp_path / "nowhere" / "page.html")
    assert code == 2
    assert "nowhere" in err
