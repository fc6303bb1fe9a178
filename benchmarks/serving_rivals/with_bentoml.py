"""A BentoML service with adaptive batching, as its documentation describes it."""

from typing import Any

import bentoml

from serving_rivals.model import Model


@bentoml.service(workers=1, traffic={"timeout": 30})
class Predictions:
    def __init__(self) -> None:
        self.model = Model()

    @bentoml.api(batchable=True, max_batch_size=64, route="/predict")
    def predict(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self.model.predict([self.model.encode(request) for request in inputs])
