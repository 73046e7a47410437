"""Answers with the words, the request's parameters and what the process sees of its environment."""

from __future__ import annotations

import json
import os

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            words = pb_utils.get_input_tensor_by_name(request, "text").as_numpy()
            seen = {
                "words": [word.decode() for word in words.ravel()],
                "parameters": json.loads(request.parameters()),
                "numpy": np.__version__,
                "settings": {name: value for name, value in os.environ.items() if name.startswith("PRODUCT_MATCH_")},
            }
            answer = np.full(words.shape, json.dumps(seen).encode(), dtype=np.object_)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("answer", answer)]))
        return responses
