"""Measures this project against a stock Django project that shares its sessions by hand.

``python -m benchmarks`` (or ``make bench``) runs all of it; README.md beside this file says how to
read what it prints.
"""
