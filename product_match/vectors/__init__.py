"""The engines behind one interface: Qdrant Edge in process (`edge_*`) and a Qdrant server (`server_*`).

Callers see `vector_index` only. Looks at the contract.
"""
