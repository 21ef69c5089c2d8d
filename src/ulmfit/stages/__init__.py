"""The stages of ULMFiT, in order: pretrain, finetune_lm, finetune_classifier, ensemble."""
