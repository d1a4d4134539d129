"""A GitHub of one's own on loopback: the REST API and the git that the adapter uses, on real repositories.

For tests of the adapter and of stories that end on a forge. What it says is checked against GitHub's published
description; what it does with branches is done by git.
"""
