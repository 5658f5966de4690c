"""A whole Stable Diffusion model in one safetensors file, as the original repositories and Civitai have them."""
