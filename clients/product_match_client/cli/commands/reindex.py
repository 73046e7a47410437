"""`product-match reindex --checkpoint DIR`: the catalogue under a new encoder, while it is served."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from product_match.contract.encoder import ENCODER_FILE
from product_match.contract.errors import ConfigError, ProductMatchError
from product_match_client.cli.arguments import add_command, open_client
from product_match_client.cli.encoder_changes import follow, show
from product_match_client.cli.output import Console

BUILDER: Final = "ensemble-builder"
DEFAULT_OUT: Final = Path("encoders")


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
        help=f"where an encoder that is built first is kept (default: {DEFAULT_OUT}/NAME-embedded)",
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
    """Return the encoder directory of a checkpoint, which is built unless it is one.

    Raises:
        ConfigError: What builds is not installed.
        ProductMatchError: It could not be built.
    """
    given = Path(checkpoint)
    if (given / ENCODER_FILE).is_file():
        return given
    target = out or DEFAULT_OUT / f"{given.name}-embedded"
    if (target / ENCODER_FILE).is_file():
        console.note(f"taking {target}, which was built before; remove it to build it anew")
        return target
    builder = shutil.which(BUILDER)
    if builder is None:
        raise ConfigError(
            f"{checkpoint} is no encoder directory (it has no {ENCODER_FILE}), and {BUILDER}, which would make one "
            'of it, is not installed; `pip install "product-match[export]"`'
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [builder, "build", "--checkpoint", checkpoint, "--target", "embedded", "--out", str(target)]
    console.note(f"building {target} with {' '.join(command[1:])}")
    code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    if code:
        raise ProductMatchError(f"the encoder was not built (exit code {code}); see what {BUILDER} says above")
    return target
