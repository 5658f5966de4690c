"""Reinforcement learning of language models: answers drawn by the engine, rewarded, and made more or less likely."""
