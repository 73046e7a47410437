"""Where products come from: files, folders, URLs, collections and standard input, each as a stream of records."""
