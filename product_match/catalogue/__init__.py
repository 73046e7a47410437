"""What the model `catalogue` answers, and the opening of documents and index for every Python model.

`opening` is the one place where the parts are put together. Looks at `documents`, `index`, `vectors` and
`encoder_change`, never at `stack`.
"""
