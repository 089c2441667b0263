"""The rules of the house as functions: a source file's text -> what is wrong with it, in words."""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePath

FILE_LINES = 350
FUNCTION_LINES = 40
MANY_PARAMETERS_LINES, SHORT_BODY_LINES = 45, 25

FORBIDDEN_NAMES = {"util", "utils", "common", "helper", "helpers", "manager", "misc", "legacy", "v1", "v2"}
"""Words that say nothing of what a file holds, or that there are two of it (a model of the zoo may have a version)."""

UNSAFE_MODULES = {"pickle", "dill", "cloudpickle", "marshal", "shelve"}
"""Reading what these wrote runs code."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def long_file(text: str) -> list[str]:
    """A file has at most 350 lines."""
    lines = len(text.splitlines())
    return [f"{lines} lines, at most {FILE_LINES}"] if lines > FILE_LINES else []


def long_functions(text: str) -> list[str]:
    """A function has at most 40 lines beside its docstring; 45, if a long list of parameters leaves 25 to its body."""
    problems = []
    for node in functions(ast.parse(text)):
        lines = _lines(node) - (_lines(node.body[0]) if ast.get_docstring(node) is not None else 0)
        body = lines - (node.body[0].lineno - node.lineno)
        most = MANY_PARAMETERS_LINES if body <= SHORT_BODY_LINES else FUNCTION_LINES
        if lines > most:
            problems.append(f"line {node.lineno}: {node.name} has {lines} lines, at most {most}")
    return problems


def tensors_without_shape(text: str) -> list[str]:
    """A public function's docstring says the shape of every tensor argument: "x: (channels,)", "y: as `x`".

    A module's `forward` may say it in the docstring of its class.
    """
    problems = []
    for node, owner in _public_functions(ast.parse(text).body, ""):
        doc = ast.get_docstring(node) or ""
        said = doc + "\n" + owner if node.name == "forward" else doc
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            if _is_tensor(argument.annotation) and not _states_shape(said, argument.arg):
                problems.append(f"line {node.lineno}: {node.name}({argument.arg}): which shape?")
    return problems


def technique_without_source(text: str) -> list[str]:
    """A technique names its paper with a link: "Source: ... https://..."."""
    doc = ast.get_docstring(ast.parse(text)) or ""
    if re.search(r"^Source: .*https?://", doc, re.MULTILINE | re.DOTALL):
        return []
    return ["the module's docstring has no line 'Source: authors, year, title, https://..., section'"]


def imports_inside_functions(text: str) -> list[str]:
    """Imports stand at the top."""
    inner = {
        (child.lineno, node.name)
        for node in functions(ast.parse(text))
        for child in ast.walk(node)
        if isinstance(child, ast.Import | ast.ImportFrom)
    }
    return [f"line {line}: import inside {name}" for line, name in sorted(inner)]


def unsafe_calls(text: str) -> list[str]:
    """Nothing that runs what a file or a user's text says."""
    problems = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found = {name.partition(".")[0] for name in _imported(node)} & UNSAFE_MODULES
            problems += [f"line {node.lineno}: imports {name}" for name in sorted(found)]
        if isinstance(node, ast.Call):
            problems += [f"line {node.lineno}: {fact}" for fact in _unsafe(node)]
    return problems


def unfinished(text: str) -> list[str]:
    """What is not finished is an issue, not a comment."""
    marks = re.compile(r"#.*\b(TODO|FIXME|XXX|HACK)\b")
    return [f"line {n}: {m[1]}" for n, line in enumerate(text.splitlines(), 1) if (m := marks.search(line))]


def forbidden_name(path: PurePath) -> list[str]:
    """A file or folder is named for what it holds."""
    words = {word for part in path.with_suffix("").parts for word in part.split("_")}
    allowed = {"v1", "v2"} if "zoo" in path.parts else set()
    return [f"a file named {word!r}" for word in sorted((words & FORBIDDEN_NAMES) - allowed)]


def imported_modules(text: str) -> set[str]:
    """The top-level names of all absolute imports."""
    nodes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom))
    return {name.partition(".")[0] for node in nodes for name in _imported(node)}


def functions(tree: ast.AST) -> Iterator[Function]:
    """All functions and methods, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _public_functions(body: list[ast.stmt], owner: str) -> Iterator[tuple[Function, str]]:
    for node in body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node, owner
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public_functions(node.body, ast.get_docstring(node) or "shape not said")


def _is_tensor(annotation: ast.expr | None) -> bool:
    return annotation is not None and re.search(r"^(torch\.)?Tensor( \| None)?$", ast.unparse(annotation)) is not None


def _states_shape(doc: str, argument: str) -> bool:
    said = re.search(rf"^\s*{argument}: (.*)$", doc, re.MULTILINE)
    return said is not None and re.search(r"\(|shape|as `", said[1]) is not None


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if node.module and node.level == 0 else []


def _unsafe(node: ast.Call) -> Iterator[str]:
    called = ast.unparse(node.func)
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if called in {"eval", "exec", "os.system", "joblib.load"}:
        yield f"calls {called}"
    if called == "torch.load" and keywords.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    if keywords.get("shell") == "True":
        yield "shell=True"
    if keywords.get("allow_pickle", "False") != "False":
        yield "allow_pickle"
