"""What the pages and the GET resources tell: one module a page, a msgspec record and the function that makes it.

A page shows its record and nothing else; its JSON twin is the same record (design/010, decision 2). Reading changes
nothing. What cannot be asked now is said in the record (`problem`), with the age of what is known instead.
"""
