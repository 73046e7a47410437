"""Inputs that nobody thought of: whatever comes in is answered or refused with an InvalidRequestError.

python -m tests.fuzzing --kind photos --count 10000 --seed 1
"""
