"""What mmgen itself brings, registered through the same door as everybody's plugins."""

from __future__ import annotations

from mmgen.registry import Registry


def register(mm: Registry) -> None:
    mm.pipelines.add("rag-text", "mmgen.pipelines.rag_text:RagText", "Answer a question from your documents, with sources")
    mm.pipelines.add("txt2img", "mmgen.pipelines.txt2img:Txt2Img", "Draw images from words")
    mm.pipelines.add("img2img", "mmgen.pipelines.img2img:Img2Img", "Draw an image anew, as words say")
    mm.pipelines.add("inpaint", "mmgen.pipelines.inpaint:Inpaint", "Draw a part of an image anew")
    mm.pipelines.add("variations", "mmgen.pipelines.variations:Variations", "Draw images that are like an image")
    mm.pipelines.add("text", "mmgen.pipelines.text:TextGeneration", "Go on writing from a beginning")
    mm.pipelines.add("chat", "mmgen.pipelines.chat:Chat", "Talk with a language model")
    mm.pipelines.add("image-search", "mmgen.pipelines.image_search:ImageSearch", "Find images in a store, by words or an image")
    mm.pipelines.add("zero-shot-image", "mmgen.pipelines.zero_shot:ZeroShotImage", "Which of some labels fits an image")
    mm.pipelines.add("image-embed", "mmgen.pipelines.image_embed:image_embed", "Vectors of images")
    mm.pipelines.add("tags", "mmgen.pipelines.tags:tags", "The words of a list that lie nearest to an image")
    mm.pipelines.add("caption", "mmgen.pipelines.caption:caption", "Say what an image shows, by a vision-language model")
    mm.encoders.add(
        "bert", "mmgen.models.encoders.sentence_encoder:load", "BERT-family sentence encoders on our own transformer"
    )
    mm.encoders.add(
        "sentence-transformers",
        "mmgen.models.encoders.sentence_transformers:load",
        "any model of the sentence-transformers package",
    )
    mm.text_models.add("causal", "mmgen.models.lm.language_model:TextModel.load", "causal and encoder-decoder language models")
    mm.readers.add(
        "reader", "mmgen.models.reader.model:ReaderModel.load", "the grounded reader: answers are spans of the passages"
    )
    mm.denoisers.add(
        "unet", "mmgen.models.diffusion.denoiser:load", "diffusers folders with a UNet, step by step beside other work"
    )
    mm.denoisers.add(
        "diffusers", "mmgen.runners.diffusers_pipeline:load", "every other diffusers pipeline, a request at a time"
    )
    mm.image_encoders.add(
        "clip", "mmgen.models.vision.dual_encoder:load", "CLIP, SigLIP and our own: images and texts in one space"
    )
    mm.image_encoders.add("vit", "mmgen.models.vision.classifier:load", "ViT: images alone, and a classifier's labels")
    mm.image_encoders.add("dinov2", "mmgen.models.vision.classifier:load", "DINOv2: images alone, and a classifier's labels")
    mm.stores.add("documents", "mmgen.stores.documents:DocumentStore", "SQLite: text, vectors and full-text search")
    mm.rerankers.add("mmr", "mmgen.stores.fusion:MMR", "maximal marginal relevance: relevant and unlike each other")
    mm.policies.add(
        "fair", "mmgen.engine.scheduling.fair:FairScheduler", "fair shares of device time between users and classes"
    )
    mm.policies.add("fifo", "mmgen.engine.scheduling.simple_policies:Fifo", "one request after the other, each to its end")
    mm.policies.add(
        "priority", "mmgen.engine.scheduling.simple_policies:ByPriority", "interactive first, then normal, then batch"
    )
    mm.policies.add("shortest", "mmgen.engine.scheduling.simple_policies:Shortest", "the least expected work first")
