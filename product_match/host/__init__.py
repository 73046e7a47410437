"""One machine: processes, ports, signals, files and logs.

`processes` is the one reader of /proc, `files` the one place where a file is replaced, `polling` the one loop that
waits. Knows nothing of products, models or stores, and looks at the errors of the contract only.
"""
