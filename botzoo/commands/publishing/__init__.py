"""The commands on published models: putting one on the Hub, checking what it claims, and training it anew. As those above."""
