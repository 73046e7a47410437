"""Turns a checkpoint into encoders and a model repository, and proves each step against the checkpoint itself.

`command` is the program, `build` the order of the steps, `families` says which checkpoints are known. It alone
imports torch, and is never needed to serve. Looks at `product_match`, which never looks back.
"""
