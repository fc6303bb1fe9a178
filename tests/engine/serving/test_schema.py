"""The fields of an encoder as pydantic's model of a request."""

import json
from datetime import date

import pytest
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from toy_project.data.encoder import Field
from toy_project.serving.problems import InvalidError, ProblemResponse
from toy_project.serving.schema import request_model

TABLE = {
    "features": Field(
        {
            "age": Field(float, {"ge": 0, "le": 120}, required=False),
            "model_config": Field(date),
            "": Field(str, {"max_length": 3}, required=False),
            "is it": Field(bool, required=False),
        }
    )
}
IMAGE = {
    "image": Field(bytes, {"max_length": 4}, required=False),
    "pixels": Field([Field([Field(float, {"ge": 0, "le": 1})])], {"max_length": 2}, required=False),
}


def read(fields, body):
    return request_model("Request", fields, max_length=5).model_validate_json(body)


def test_columns_of_a_table_may_have_any_name():
    body = '{"features": {"age": 3, "model_config": "2026-01-31", "": null}}'
    assert read(TABLE, body).model_dump(by_alias=True) == {
        "features": {"age": 3.0, "model_config": date(2026, 1, 31), "": None, "is it": None}
    }


def test_an_image_is_base64_or_pixels():
    assert read(IMAGE, '{"image": "+/8="}').model_dump(by_alias=True)["image"] == b"\xfb\xff"
    assert read(IMAGE, '{"pixels": [[0, 0.5]]}').model_dump(by_alias=True) == {
        "image": None,
        "pixels": [[0.0, 0.5]],
    }


@pytest.mark.parametrize(
    ("fields", "body", "kind", "where"),
    [
        (TABLE, '{"features": {"model_config": 1}}', "date_type", "model_config"),
        (TABLE, '{"features": {}}', "missing", "model_config"),
        (TABLE, '{"features": {"model_config": "2026-01-31", "x": 1}}', "extra_forbidden", "x"),
        (TABLE, '{"features": {"model_config": "2026-01-31", "": "abcd"}}', "string_too_long", ""),
        (
            TABLE,
            '{"features": {"model_config": "2026-01-31", "age": 1e999}}',
            "finite_number",
            "age",
        ),
        (TABLE, '{"features": {"model_config": "2026-01-31", "age": true}}', "float_type", "age"),
        (TABLE, '{"features": {"model_config": "2026-01-31", "is it": 1}}', "bool_type", "is it"),
        (IMAGE, '{"image": "?"}', "bytes_invalid_encoding", "image"),
        (IMAGE, '{"image": "AAAAAAAA"}', "bytes_too_long", "image"),
        (IMAGE, '{"pixels": [[0], ["a", "b"], []]}', "float_type", 0),
        (IMAGE, '{"pixels": [[2]]}', "less_than_equal", 0),
        ({"text": Field(str)}, '{"text": "123456"}', "string_too_long", "text"),
    ],
)
def test_what_does_not_fit_is_one_error_at_its_place(fields, body, kind, where):
    with pytest.raises(ValidationError) as caught:
        read(fields, body)
    [error] = caught.value.errors()
    assert (error["type"], error["loc"][-1]) == (kind, where)


def test_the_documentation_has_names_types_and_ranges():
    schema = request_model("Request", TABLE, max_length=5).model_json_schema()
    features = schema["$defs"]["Features"]
    assert features["required"] == ["model_config"]
    assert features["properties"]["age"]["anyOf"] == [
        {"type": "number", "minimum": 0, "maximum": 120},
        {"type": "null"},
    ]
    assert features["properties"]["model_config"]["format"] == "date"


def test_a_problem_is_small_whatever_it_tells():
    found = [{"type": "t" * 99, "loc": ("é" * 999,) * 3, "msg": "m" * 9999}] * 99
    for error in (HTTPException(409, "d" * 99_999), InvalidError(found)):
        answer = ProblemResponse(error, error="é" * 99_999)
        assert json.loads(answer.body)["status"] == error.status_code
        assert len(answer.body) < 2_000
