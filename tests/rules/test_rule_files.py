"""Files of rule JSON: where an error is, what is no file, marks of other systems' editors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from symevo.errors import UserError
from symevo.rules.classic import CLASSICS
from symevo.rules.rule import rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{\n  "schema": 1,\n  "program": [,]\n}', r"rule.json, line 3, column 15: no JSON: Expecting value"),
        (b"", "rule.json, line 1, column 1: no JSON"),
        (b'{"program": ["theta = \xff"]}', "rule.json is no UTF-8 text: byte 23"),
        (b'{"program": ["theta = theta - lr*(g"]}', "rule.json: line 1, column .*not an assignment"),
        (b'{"program": NaN}', "rule.json: NaN is no number of a rule"),
        (b'{"hyper": {"lr": 1, "lr": 2}}', "rule.json: key 'lr' stands there twice"),
        (b'{"program": ["theta = g"], "hyper": {"a": 1}}', "rule.json: the rule has no hyperparameter 'a'"),
        (b'{"program": ["theta = g"], "schedule": 3}', "rule.json: a schedule is an object"),
        (b"[" * 100_000, "rule.json is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "rule.json holds too long a number"),
        (b" " * (1 << 20) + b"{}", "rule.json is too large for rule JSON: at most 1,048,576 bytes"),
    ],
    ids=range(11),
)
def test_an_error_tells_where_it_is(tmp_path, text, message):
    path = tmp_path / "rule.json"
    path.write_bytes(text)
    with pytest.raises(UserError, match=message) as error:
        rule(path)
    assert "\n" not in str(error.value)


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "rule.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(CLASSICS.get("lion").to_json()).encode())
    assert rule(path) == CLASSICS.get("lion")


def test_only_regular_files_are_opened(tmp_path):
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    for path in (pipe, str(pipe), "/dev/zero", Path("/dev/zero")):
        with pytest.raises(UserError, match=r"cannot read rule file /.* no regular file"):
            rule(path)
    for path in (tmp_path, str(tmp_path)):
        with pytest.raises(UserError, match=r"^/.* is not a run: it holds no run.sqlite; give the folder"):
            rule(path)


def test_a_path_needs_no_suffix_and_may_hold_an_equals_sign(tmp_path):
    folder = tmp_path / "lr=1"
    folder.mkdir()
    for path in (folder / "rule.json", tmp_path / "lion"):
        path.write_text(json.dumps(CLASSICS.get("lion").to_json()))
        assert rule(str(path)) == CLASSICS.get("lion")
