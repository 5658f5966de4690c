"""Tensors in, tensors out. No threads, and no files but weights."""

import os

from mmgen.models.cpu import primitive_cache

primitive_cache.limit(os.environ)
