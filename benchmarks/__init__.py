"""Yardsticks for the speed of the server: the limit of the machine, what people build today, and growth."""
