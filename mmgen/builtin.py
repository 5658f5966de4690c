"""What mmgen itself brings, registered through the same door as everybody's plugins."""

from __future__ import annotations

from mmgen.registry import Registry


def register(mm: Registry) -> None:
    mm.pipelines.add("rag-text", "mmgen.pipelines.rag_text:RagText", "Answer a question from your documents, with sources")
    mm.pipelines.add("txt2img", "mmgen.pipelines.txt2img:Txt2Img", "Draw pictures from words")
    mm.pipelines.add("img2img", "mmgen.pipelines.img2img:Img2Img", "Draw a picture anew, as words say")
    mm.pipelines.add("inpaint", "mmgen.pipelines.inpaint:Inpaint", "Draw a part of a picture anew")
    mm.pipelines.add("variations", "mmgen.pipelines.variations:Variations", "Draw pictures that are like a picture")
    mm.pipelines.add("text", "mmgen.pipelines.text:Text", "Go on writing from a beginning")
    mm.pipelines.add("chat", "mmgen.pipelines.chat:Chat", "Talk with a language model")
    mm.encoders.add("bert", "mmgen.models.encoder:load", "BERT-family sentence encoders on our own transformer")
    mm.encoders.add(
        "sentence-transformers",
        "mmgen.models.sentence_transformers:load",
        "any model of the sentence-transformers package",
    )
    mm.text_models.add("causal", "mmgen.models.language_model:TextModel.load", "causal and encoder-decoder language models")
    mm.readers.add("reader", "mmgen.models.reading:ReaderModel.load", "the grounded reader: answers are spans of the passages")
    mm.denoisers.add("unet", "mmgen.models.denoiser:load", "diffusers folders with a UNet, step by step beside other work")
    mm.denoisers.add(
        "diffusers", "mmgen.runners.diffusers_pipeline:load", "every other diffusers pipeline, a request at a time"
    )
    mm.stores.add("documents", "mmgen.stores.documents:DocumentStore", "SQLite: text, vectors and full-text search")
    mm.rerankers.add("mmr", "mmgen.stores.fusion:MMR", "maximal marginal relevance: relevant and unlike each other")
    mm.policies.add("fair", "mmgen.engine.scheduler:FairScheduler", "fair shares of device time between users and classes")
