"""Fine-tuning of timm models on one's own images."""
