"""What touches Triton: its batches, parameters, flags and the process that it starts.

`pb_utils` is passed in, never imported.
"""
