"""Every Python example in the documentation runs; the examples of one page share their names."""

from pathlib import Path

import pytest

from tests.markdown_blocks import blocks

ROOT = Path(__file__).parents[1]
PAGES = [path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if path.is_file()]


def run(text: str, file: str) -> dict[str, object]:
    """Run the examples of a page; an error names the page and its line."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(text):
        if block.is_run:
            exec(compile("\n" * (block.line - 1) + block.code, file, "exec"), names)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_a_page_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(path.read_text(encoding="utf-8"), str(path))


PAGE = """# Title

```python
a = 1
```

```sh
this is not python
```

1. indented

    ```python
    if a:
        b = a + 1
    ```

```python no-run
raise SystemExit
```
"""


def test_the_examples_of_a_page_share_their_names():
    names = run(PAGE, "page.md")
    assert (names["a"], names["b"]) == (1, 2)


def test_only_what_is_marked_is_not_run():
    assert [block.is_run for block in blocks(PAGE)] == [True, True, False]


def test_an_example_that_fails_names_its_page_and_line():
    with pytest.raises(ZeroDivisionError) as caught:
        run("text\n\n```python\na = 0\n1 / a\n```\n", "page.md")
    last = caught.traceback[-1]
    assert (str(last.path).endswith("page.md"), last.lineno + 1) == (True, 5)
