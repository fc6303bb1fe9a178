"""The checks of `serving.py hostile`, which schemathesis finds by SCHEMATHESIS_HOOKS."""

import schemathesis

from serving_load.hostile import MAX_ANSWER_BYTES


@schemathesis.check
def only_503_of_5xx(ctx, response, case):
    """A request is an error of the client, unless the server is busy."""
    assert response.status_code < 500 or response.status_code == 503, response.status_code


@schemathesis.check
def short_answers(ctx, response, case):
    """An answer is at most 16 KiB, whatever was asked."""
    assert len(response.content) <= MAX_ANSWER_BYTES, len(response.content)
