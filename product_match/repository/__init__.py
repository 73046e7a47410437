"""The model repository, and all else that is generated from the contract.

`configuration` and `assembly` make `config.pbtxt` and the folder that Triton loads, `tables` and `client_options`
what the pages and the clients say of the contract, `shipped` finds the files that come with the code. Looks at the
contract and the settings only.
"""
