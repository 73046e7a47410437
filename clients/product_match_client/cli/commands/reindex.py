"""`product-match reindex --checkpoint DIR`: the catalogue under a new encoder, while it is served."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from product_match.contract.encoder import BUILD_FILE, ENCODER_FILE
from product_match.contract.errors import ConfigError, ProductMatchError
from product_match_client.cli.arguments import add_command, open_client
from product_match_client.cli.encoder_changes import follow, show
from product_match_client.cli.output import Console

BUILDER: Final = "ensemble-builder"
DEFAULT_OUT: Final = Path("encoders")
_DIGITS: Final = 12
"""Of the digest of weights, in the name of a folder whose plain name another checkpoint has."""


def register(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = add_command(
        subparsers,
        "reindex",
        summary="Embed every product with a new encoder beside the old one, and switch; searches go on meanwhile.",
        example="product-match reindex --checkpoint my-clip/embedded\n"
        "product-match reindex --checkpoint openai/clip-vit-base-patch32\n"
        "product-match rollback",
    )
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="DIR",
        help="what `ensemble-builder build --target embedded` made; or a folder in Hugging Face format or the id of "
        "a hub model, which is built first (needs the extra `export`)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=f"where an encoder that is built first is kept (default: {DEFAULT_OUT}/NAME-embedded, and a "
        "part of the weights' digest where that folder is another checkpoint's)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Ask for it, or join the one that is going on, and follow it to the end."""
    directory = encoder_directory(arguments.checkpoint, arguments.out, console)
    with open_client(arguments) as client:
        change = follow(client, client.reindex(str(directory.resolve())), console)
    show(change, console, as_json=arguments.json)
    return 0


def encoder_directory(checkpoint: str, out: Path | None, console: Console) -> Path:
    """Return the encoder directory of a checkpoint, which is built unless it is one, or was built before.

    Raises:
        ConfigError: What builds is not installed, or `out` holds the encoder of another checkpoint.
        CheckpointError: There is no such checkpoint, or it is damaged.
        ProductMatchError: It could not be built.
    """
    given = Path(checkpoint)
    if (given / ENCODER_FILE).is_file():
        return given
    target = out or DEFAULT_OUT / f"{given.name}-embedded"
    if (target / ENCODER_FILE).is_file():
        # Checkpoints of a training are called alike (runs/a/final, runs/b/final): their weights tell them apart.
        weights = _weights_sha256(checkpoint)
        if out is None and _built_from(target) != weights:
            target = target.with_name(f"{target.name}-{weights[:_DIGITS]}")
        if (target / ENCODER_FILE).is_file():
            if _built_from(target) != weights:
                raise ConfigError(
                    f"{target} holds an encoder that was built from other weights than those of {checkpoint}; give "
                    "another folder with --out, or remove this one if no server needs it"
                )
            console.note(f"taking {target}, which was built from these weights before; remove it to build it anew")
            return target
    command = [
        _builder(checkpoint),
        "build",
        "--checkpoint",
        checkpoint,
        "--target",
        "embedded",
        "--out",
        str(target),
    ]
    target.parent.mkdir(parents=True, exist_ok=True)
    console.note(f"building {target} with {' '.join([BUILDER, *command[1:]])}")
    code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    if code:
        raise ProductMatchError(f"the encoder was not built (exit code {code}); see what {BUILDER} says above")
    return target


def _builder(checkpoint: str) -> str:
    """Return the program that builds; in an environment that is not activated it lies beside Python alone."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    builder = shutil.which(BUILDER, path=places)
    if builder is None:
        raise _not_installed(checkpoint)
    return builder


def _not_installed(checkpoint: str) -> ConfigError:
    return ConfigError(
        f"{checkpoint} is no encoder directory (it has no {ENCODER_FILE}), and {BUILDER}, which would make one "
        'of it, is not installed; `pip install "product-match[export]"`'
    )


def _weights_sha256(checkpoint: str) -> str:
    # Imported here: only this needs the builder, and what it imports is light.
    try:
        from ensemble_builder.checkpoint import open_checkpoint

        return open_checkpoint(checkpoint).weights_sha256
    except ModuleNotFoundError as error:  # of the builder, or of what reads the hub
        raise _not_installed(checkpoint) from error


def _built_from(directory: Path) -> str:
    """Return the digest of the weights that an encoder was built from; empty where its report does not say."""
    try:
        report = json.loads((directory / BUILD_FILE).read_text(encoding="utf-8"))
        return str(report["checkpoint"]["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
