"""The error answers: status, errcode and body of each constructor."""

import pytest

from hs_common.matrix import errors
from hs_common.matrix.errors import MatrixError


@pytest.mark.parametrize(
    ("error", "status", "errcode", "fields"),
    [
        (errors.bad_json("x"), 400, "M_BAD_JSON", {}),
        (errors.not_json(), 400, "M_NOT_JSON", {}),
        (errors.invalid_param("x"), 400, "M_INVALID_PARAM", {}),
        (errors.missing_param("x"), 400, "M_MISSING_PARAM", {}),
        (errors.unknown_token(), 401, "M_UNKNOWN_TOKEN", {"soft_logout": False}),
        (errors.unknown_token(True), 401, "M_UNKNOWN_TOKEN", {"soft_logout": True}),
        (errors.missing_token(), 401, "M_MISSING_TOKEN", {}),
        (errors.unauthorized("x"), 401, "M_UNAUTHORIZED", {}),
        (errors.forbidden("x"), 403, "M_FORBIDDEN", {}),
        (errors.not_found(), 404, "M_NOT_FOUND", {}),
        (errors.unrecognized(), 404, "M_UNRECOGNIZED", {}),
        (errors.unrecognized(status=405), 405, "M_UNRECOGNIZED", {}),
        (errors.too_large(), 413, "M_TOO_LARGE", {}),
        (errors.limit_exceeded(2000), 429, "M_LIMIT_EXCEEDED", {"retry_after_ms": 2000}),
        (errors.unsupported_room_version("z"), 400, "M_UNSUPPORTED_ROOM_VERSION", {}),
        (errors.incompatible_room_version("z"), 400, "M_INCOMPATIBLE_ROOM_VERSION", {"room_version": "z"}),
        (errors.unknown("x"), 500, "M_UNKNOWN", {}),
    ],
)
def test_each_constructor_makes_its_error(
    error: MatrixError, status: int, errcode: str, fields: dict[str, object]
) -> None:
    assert (error.status, error.errcode, error.fields) == (status, errcode, fields)
    assert error.body() == {"errcode": errcode, "error": error.error, **fields}
    assert error.error


def test_extra_fields_do_not_override_the_code() -> None:
    body = MatrixError(403, "M_FORBIDDEN", "no", {"errcode": "M_OTHER", "more": 1}).body()
    assert body == {"errcode": "M_FORBIDDEN", "error": "no", "more": 1}


def test_the_text_of_the_exception_names_the_error() -> None:
    assert str(errors.forbidden("You are banned")) == "403 M_FORBIDDEN: You are banned"
