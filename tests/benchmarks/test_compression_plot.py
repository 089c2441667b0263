"""The page of plots holds every network and tool."""

from benchmarks.compression_plot import Point, draw


def test_every_point_is_drawn_over_work_and_over_milliseconds(tmp_path):
    points = [Point(name, tool, 80.0, 0.5, 2.5, 79.0, 1.25) for name in ("a", "b") for tool in ("ours", "theirs")]
    draw(points, tmp_path / "new" / "plot.html")
    text = (tmp_path / "new" / "plot.html").read_text()
    for word in ("a: accuracy over share of MACs", "b: accuracy over milliseconds", "theirs, int8"):
        assert word in text
    assert text.count('"mode":"markers"') == 8
    assert text.count('"symbol":["circle","diamond"]') == 8
