"""What has happened, for people to learn from: an event for each request, and feedback, in MongoDB with an expiry.

Looks at the contract, the settings and the connection of `documents`; knows nothing of Triton or of how answers come
about.
"""
