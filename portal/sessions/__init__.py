"""Sessions: issued, signed anew, listed and ended; here and nowhere else."""
