"""To the Hub and back: publish, verify and reproduce what is published. Imports inference and what is above."""
