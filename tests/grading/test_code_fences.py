"""Which part of a chain is the program, for the strict grader and for LiveCodeBench's."""

from __future__ import annotations

import pytest

from hyperscale.grading.code.grader import between_last_fences, last_block

A, B = "print(1)\n", "print(2)\n"


def fenced(code: str, language: str = "python", mark: str = "```") -> str:
    return f"{mark}{language}\n{code}{mark}\n"


@pytest.mark.parametrize(
    ("text", "source", "open"),
    [
        ("", None, False),
        ("print(1)", None, False),
        (fenced(A), A, False),
        (f"First\n{fenced(A)}better:\n{fenced(B)}done", B, False),
        (fenced(A, ""), A, False),
        (fenced(A, "py"), A, False),
        (fenced(A, "Python3 title=x"), A, False),
        (fenced(A, "{.python}"), A, False),
        (fenced(A, mark="~~~"), A, False),
        (fenced(A, mark="````"), A, False),
        (f"{fenced(A)}Output:\n{fenced('1' + chr(10), 'text')}", A, False),
        (f"{fenced(A)}Run it:\n{fenced('python3 a.py' + chr(10), 'bash')}", A, False),
        (f"{fenced(A)}and then\n```python\nprint(", A, True),
        ("```python\nprint(", None, True),
        ("````python\nx = '''\n```\n'''\n````\n", "x = '''\n```\n'''\n", False),
        ("   ```python\nprint(1)\n   ```", A, False),
        ("```python\n```", "\n", False),
        ("1. So:\n   ```python\n   if 1:\n       print(1)\n   ```", "if 1:\n    print(1)\n", False),
        ("- So:\n\n      ```python\n      print(1)\n      ```", A, False),
        ("```python\ndef f():\n    '''\n    ```\n    '''\n```", "def f():\n    '''\n    ```\n    '''\n", False),
        ('```python\nprint("\u2028")\r\n```\r\n', 'print("\u2028")\n', False),
        ("Use ```print(1)``` here", None, False),
        ("```python\nprint(1)\n```python\nprint(2)\n```", "print(1)\n```python\nprint(2)\n", False),
    ],
)
def test_the_last_complete_block_of_python(text, source, open):
    assert last_block(text) == (source, open)


F = "def f(a):\n    return a\n"
METHOD = "class Solution:\n    def f(self, a):\n        return a\n"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (f"{fenced(F)}Example:\n{fenced('print(f(1))' + chr(10))}", F),
        (f"{fenced(F)}Better:\n{fenced(METHOD)}Use:\n{fenced(A)}", METHOD),
        (f"{fenced(F)}\n{fenced('# as def f(a) says' + chr(10))}", F),
        (f"{fenced(A)}{fenced(B)}", B),
        (f"{fenced(F, 'text')}{fenced(B)}", B),
        ("none", None),
    ],
)
def test_where_a_function_is_asked_for_the_last_block_that_defines_it_counts(text, source):
    assert last_block(text, "f") == (source, False)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("", ""),
        ("```python\nprint(1)", ""),
        ("```python\nprint(1)\n```", "print(1)"),
        ("```\na\n```\nthen\n```\nb\n```", "b"),
        ("```\na\n```\nthen\n```python\nb", "then"),
        ("```python\nprint(1)\n```\n```text\n1\n```", "1"),
        ("a ```x``` b\nc\n```", "c"),
    ],
)
def test_livecodebench_takes_what_stands_between_the_last_two_fences(text, source):
    assert between_last_fences(text) == source
