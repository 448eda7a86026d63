"""Compares this project with a stock Django project that shares its sessions by hand.

``python -m benchmarks`` or ``make bench`` runs all benchmarks. README.md explains the output.
"""
