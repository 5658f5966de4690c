"""Federated learning: clients train on data of their own, a server averages what they learned."""
