"""The model repository: configurations from the contract, and its assembly for one encoder."""
