"""What mmgen itself brings, registered through the same door as everybody's plugins."""

from __future__ import annotations

from mmgen.registry import Registry


def register(mm: Registry) -> None:
    mm.pipelines.add("rag-text", "mmgen.pipelines.rag_text:RagText", "Answer a question from your documents, with citations")
    mm.pipelines.add("rag-search", "mmgen.pipelines.rag_search:RagSearch", "The passages of a store nearest to a query")
    mm.pipelines.add("txt2img", "mmgen.pipelines.txt2img:Txt2Img", "Generate images from a prompt")
    mm.pipelines.add("img2img", "mmgen.pipelines.img2img:Img2Img", "Generate images from an image and a prompt")
    mm.pipelines.add("edit", "mmgen.pipelines.edit:Edit", "Edit an image as an instruction says")
    mm.pipelines.add("inpaint", "mmgen.pipelines.inpaint:Inpaint", "Generate the masked part of an image anew")
    mm.pipelines.add("variations", "mmgen.pipelines.variations:Variations", "Generate variations of an image")
    mm.pipelines.add("upscale", "mmgen.pipelines.upscale:upscale", "Make an image larger by an upscaler such as Real-ESRGAN's")
    mm.pipelines.add("text", "mmgen.pipelines.text:TextGeneration", "Generate text from a prompt")
    mm.pipelines.add("chat", "mmgen.pipelines.chat:Chat", "Chat with a language model")
    mm.pipelines.add(
        "assistant", "mmgen.pipelines.assistant:Assistant", "Chat with tools: documents, images, drawing, arithmetic"
    )
    mm.pipelines.add("image-search", "mmgen.pipelines.image_search:ImageSearch", "Search a store's images by text or by image")
    mm.pipelines.add(
        "zero-shot-image", "mmgen.pipelines.zero_shot:ZeroShotImage", "Zero-shot classification of an image among given labels"
    )
    mm.pipelines.add("image-embed", "mmgen.pipelines.image_embed:image_embed", "Embed images as vectors")
    mm.pipelines.add("analogy", "mmgen.pipelines.analogy:analogy", "The words nearest to a sum, such as king - man + woman")
    mm.pipelines.add("tags", "mmgen.pipelines.tags:tags", "Tag an image with the nearest words of a vocabulary")
    mm.pipelines.add("caption", "mmgen.pipelines.caption:caption", "Caption an image with a vision-language model")
    mm.encoders.add(
        "bert", "mmgen.models.encoders.sentence_encoder:load", "BERT-family sentence encoders on our own transformer"
    )
    mm.encoders.add(
        "sentence-transformers",
        "mmgen.models.encoders.sentence_transformers:load",
        "Any model of the sentence-transformers package",
    )
    mm.cross_encoders.add(
        "cross-encoder",
        "mmgen.models.encoders.cross_encoder:load",
        "BERT-family cross-encoders on our own transformer, others by the sentence-transformers package",
    )
    mm.text_models.add("causal", "mmgen.models.transformers_backend.loading:load", "Causal and encoder-decoder language models")
    mm.readers.add(
        "reader", "mmgen.models.reader.model:ReaderModel.load", "Extractive reader: answers are spans of the passages"
    )
    mm.denoisers.add("unet", "mmgen.models.diffusion.denoiser:load", "UNets in the diffusers layout, batched step by step")
    mm.denoisers.add(
        "dit",
        "mmgen.models.diffusion.dit.model:load",
        "Diffusion transformers: SD3, FLUX.1, Qwen-Image, ..., batched step by step",
    )
    mm.denoisers.add(
        "diffusers", "mmgen.runners.diffusers_pipeline:load", "Any other diffusers pipeline, one request at a time"
    )
    mm.image_encoders.add(
        "clip", "mmgen.models.vision.dual_encoder:load", "CLIP-like dual encoders: images and texts in one vector space"
    )
    mm.image_encoders.add("vit", "mmgen.models.vision.classifier:load", "ViT image encoders and classifiers")
    mm.image_encoders.add("dinov2", "mmgen.models.vision.classifier:load", "DINOv2 image encoders and classifiers")
    mm.stores.add("documents", "mmgen.stores.documents:DocumentStore", "SQLite: text, vectors and full-text search")
    for scheme in ("postgres", "postgresql"):
        mm.stores.add(
            scheme, "mmgen.stores.postgres.documents:PostgresDocumentStore", "PostgreSQL with pgvector, shared by machines"
        )
    mm.rerankers.add("mmr", "mmgen.stores.fusion:MMR", "Maximal marginal relevance: relevance balanced with diversity")
    mm.policies.add(
        "fair",
        "mmgen.engine.scheduling.fair:FairScheduler",
        "Weighted fair shares of device time between users and priority classes",
    )
    mm.policies.add("fifo", "mmgen.engine.scheduling.simple_policies:Fifo", "First in, first out; each request runs to its end")
    mm.policies.add(
        "priority",
        "mmgen.engine.scheduling.simple_policies:ByPriority",
        "Strict priority: interactive, then normal, then batch",
    )
    mm.policies.add("shortest", "mmgen.engine.scheduling.simple_policies:Shortest", "Shortest expected job first")
