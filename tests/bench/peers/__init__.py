"""The whole job, callback to file, beside others that can be had to do it: each in its folder, its versions pinned.

`python -m tests.bench.peers`
"""
