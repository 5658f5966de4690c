"""What adapters of language models do besides plain LoRA, and the places that learned prefixes take."""
