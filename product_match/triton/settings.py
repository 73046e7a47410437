"""The settings of one Python model: the process's environment, and what its configuration has in place of it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from product_match.settings import PREFIX, ServingSettings


def model_settings(args: Mapping[str, str], environment: Mapping[str, str]) -> ServingSettings:
    """Read the settings of a model.

    A Triton process has one environment, and for a moment the models of two encoders: those that differ are given
    by the `parameters` of `config.pbtxt`, under the same names.

    Args:
        args: What Triton gives `initialize`.
        environment: The process's variables.

    Raises:
        ConfigError: A variable is missing, unknown, or holds a wrong value.
    """
    configuration = json.loads(args.get("model_config") or "{}")
    given = {
        name: parameter["string_value"]
        for name, parameter in configuration.get("parameters", {}).items()
        if name.startswith(PREFIX)
    }
    return ServingSettings.from_environment({**environment, **given})
