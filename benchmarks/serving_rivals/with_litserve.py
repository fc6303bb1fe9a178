"""LitServe with batching, as its documentation describes it.

At 64 connections it is fastest with a `batch_timeout` of 0 s, its default, and of 1 to 5 ms. With 0
a worker that has nothing to do takes a whole core.
"""

import sys

import litserve

from serving_rivals.model import Model


class Predictions(litserve.LitAPI):
    def setup(self, device):
        self.model = Model()

    def decode_request(self, request):
        return self.model.encode(request)

    def batch(self, inputs):
        return inputs  # LitServe would stack tensors, which have to be of one length

    def predict(self, inputs):
        return self.model.predict(inputs)

    def unbatch(self, outputs):
        return outputs

    def encode_response(self, output):
        return output


if __name__ == "__main__":
    api = Predictions(max_batch_size=64, batch_timeout=float(sys.argv[2]))
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
