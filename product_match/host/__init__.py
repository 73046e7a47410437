"""Processes, ports, signals, files and logs of one machine. Knows nothing of products, models or stores."""
