"""mmgen: multimodal generation with diffusion and RAG, all models on one device under one shared scheduler."""
