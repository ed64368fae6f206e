"""What a run's folder says, as card, terminal table and pictures. Imports training and what is above."""
