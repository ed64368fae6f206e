"""What leaves the house: the card that says what a model is, and the way to the Hub."""
