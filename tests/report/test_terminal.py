from rich.console import Console

from microjoule.report.tables import Cell, Column, Table
from microjoule.report.terminal import headline_table, history_table, rich_table, summary
from tests.report.samples import records


def printed(shown):
    console = Console(width=160, no_color=True, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(shown)
    return capture.get()


def test_the_summary_shows_headline_stages_and_measurements():
    text = printed(summary(records()))
    for expected in ("79.23 %", "data-free W4A8", "4.87 ms", "onnxruntime 1.31.1", "first departure"):
        assert expected in text
    assert "blocks.1.expand.conv" not in text


def test_layers_are_shown_on_request():
    assert "blocks.1.expand.conv" in printed(summary(records(), by_layer=True))


def test_nothing_is_shown_of_nothing():
    assert printed(summary([])).strip() == ""
    assert headline_table([]).rows == ()


def test_brackets_in_a_name_are_no_markup():
    table = Table("[red]t", (Column("[b]c"),), ((Cell("[link=x]layer[/link]", "x", tone="bad"),),))
    text = printed(rich_table(table))
    assert "[red]t" in text
    assert "[b]c" in text
    assert "[link=x]layer[/link]" in text


def test_history_counts_what_was_skipped():
    table = history_table(records())
    assert len(table.rows) == len(records())
    assert sum(row[2].value for row in table.rows) == 9
    assert "6 groups of layers in 14 sweeps" in printed(rich_table(table))
