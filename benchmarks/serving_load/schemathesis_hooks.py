"""The checks of `serving.py hostile`, which schemathesis finds by SCHEMATHESIS_HOOKS."""

import schemathesis

from serving_load.hostile import MAX_ANSWER_BYTES


@schemathesis.check
def only_503_of_5xx(ctx, response, case):
    """A request is an error of the client, unless the server is busy."""
    assert response.status_code < 500 or response.status_code == 503, response.status_code


@schemathesis.check
def short_answers(ctx, response, case):
    """An answer is at most 16 KiB, or four times as long for a batch of rows with confidences."""
    is_detailed = response.status_code == 200 and "confidences" in (case.query or {})
    limit = MAX_ANSWER_BYTES * (4 if is_detailed else 1)
    assert len(response.content) <= limit, len(response.content)
