"""Many runs at once: ladders, folds, seeds, search. Imports hub and what is above."""
