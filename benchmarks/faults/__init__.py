"""The fault table: a load is interrupted by killing a process, and compared with one that was not."""
