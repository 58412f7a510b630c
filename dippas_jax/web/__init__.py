"""The page of `dippas web`: a small server on this machine alone, for one browser.

`guard` says who may ask, `jobs` holds the files and runs the program, `server` joins them. The work
itself is done by the command line, in a process of its own, so that a page and a command do the
same. Nothing here knows the rooms that compute.
"""
