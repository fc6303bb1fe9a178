"""The bundle as an MLflow model from code, for `mlflow models serve`."""

from typing import Any

import mlflow

from serving_rivals.model import Model


class Predictions(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.model = Model()

    def predict(self, model_input: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return self.model.predict([self.model.encode(request) for request in model_input])


mlflow.models.set_model(Predictions())
