"""A Python shell inside one project of the topology, with the project's own environment and secrets.

A story uses it as an operator uses ``manage.py shell``: it runs a few lines of Python with some variables,
and gets the value of the last line, converted to JSON. One process serves all stories, because starting
Django takes longer than most stories.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Mapping
from typing import IO, Any

from demo.options import ROOT
from tests.timing import WAIT


class Shell:
    """``shell("User.objects.count()")`` returns a number. All models and ``timezone`` are imported."""

    def __init__(self, project: str, environment: Mapping[str, str]) -> None:
        self.project = project
        self.environment = dict(environment)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.stories.shell", f"{project}.settings"],
            cwd=ROOT,
            env={**environment, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, source: str, **values: Any) -> Any:
        """Run lines of Python. An exception there is an ``AssertionError`` with its traceback here."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"source": source, "values": values}, default=str) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error": "the shell has ended"}')
        if "error" in answer:
            raise AssertionError(f"In {self.project}:\n{answer['error']}")
        return answer["value"]

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=WAIT)


def run(source: str, names: dict[str, Any]) -> Any:
    """Execute lines of Python; return the value of the last line if it is an expression."""
    tree = ast.parse(textwrap.dedent(source))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<story>", "exec"), names)  # noqa: S102  the stories' own source
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "<story>", "eval"), names)  # noqa: S307  the same


def serve(questions: IO[str], answers: IO[str]) -> None:
    """Answer questions until standard input is closed."""
    import django

    django.setup()
    from django.apps import apps
    from django.contrib.auth import get_user_model
    from django.db import close_old_connections
    from django.utils import timezone

    known = {model.__name__: model for model in apps.get_models()}
    known |= {"User": get_user_model(), "timezone": timezone}
    for line in questions:
        question = json.loads(line)
        close_old_connections()
        try:
            answer = {"value": run(question["source"], {**known, **question["values"]})}
            text = json.dumps(answer, default=str)
        except Exception:  # noqa: BLE001  the story raises it
            text = json.dumps({"error": traceback.format_exc()})
        answers.write(text + "\n")
        answers.flush()


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = sys.argv[1]
    replies, sys.stdout = sys.stdout, sys.stderr  # a print() must not become an answer
    serve(sys.stdin, replies)
