"""One module for each command: `register(subparsers)` adds its parser, `run(arguments, console)` does it."""
