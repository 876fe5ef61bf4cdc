/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention shapes of well-known models. Heads, head dimension and length are the model's, from the
 * source in the note: a paper, or a file of the published checkpoint. Batches are ours. Only models
 * whose attention this library can do: head dimensions of Q and V that are equal, no bias on scores.
 */
#include "shapes/sets.h"

/* clang-format off */
static const fl4__shape models[] = {
  /* language models: a prompt, then one token for each of some users */
  {"hq32hkv8sq8192d128:bf16:causal", "Llama 3 8B, prompt: The Llama 3 Herd of Models"},
  {"b16hq32hkv8sq1sk8192d128:bf16", "Llama 3 8B, one token each for 16 users: The Llama 3 Herd of Models"},
  {"hq64hkv8sq8192d128:bf16:causal", "Llama 3 70B, prompt: The Llama 3 Herd of Models"},
  {"b16hq64hkv8sq1sk8192d128:bf16", "Llama 3 70B, one token each for 16 users: The Llama 3 Herd of Models"},
  {"hq128hkv8sq8192d128:bf16:causal", "Llama 3.1 405B, prompt of 8192: The Llama 3 Herd of Models"},
  {"hq128hkv8sq1sk131072d128:bf16", "Llama 3.1 405B, one token, full context: The Llama 3 Herd of Models"},
  {"hq32sq4096d128:bf16:causal", "Llama 2 7B, prompt: config.json of Llama-2-7b-hf"},
  {"hq32hkv8sq4096d128:bf16:causal", "Mistral 7B, prompt within its window: Mistral 7B"},
  {"b16hq32hkv8sq1sk4096d128:bf16", "Mistral 7B, one token each for 16 users: Mistral 7B"},
  {"hq28hkv4sq32768d128:bf16:causal", "Qwen2.5 7B, prompt: config.json of Qwen2.5-7B-Instruct"},
  {"b16hq28hkv4sq1sk32768d128:bf16", "Qwen2.5 7B, one token each for 16 users: config.json of Qwen2.5-7B-Instruct"},
  {"hq64hkv8sq32768d128:bf16:causal", "Qwen2.5 72B, prompt: config.json of Qwen2.5-72B-Instruct"},
  {"hq16sq8192d256:bf16:causal", "Gemma 7B, prompt: Gemma, Open Models Based on Gemini Research and Technology"},
  {"hq8hkv1sq8192d256:bf16:causal", "Gemma 2B, prompt: Gemma, Open Models Based on Gemini Research and Technology"},
  {"hq16hkv8sq8192d256:bf16:causal", "Gemma 2 9B without its soft cap, prompt: config.json of gemma-2-9b"},
  {"b16hq16hkv8sq1sk8192d256:bf16", "Gemma 2 9B without its soft cap, one token each for 16 users: config.json of gemma-2-9b"},
  {"hq32sq2048d96:bf16:causal", "Phi-3-mini, prompt of 2048: Phi-3 Technical Report"},
  {"hq71hkv1sq2048d64:bf16:causal", "Falcon 7B, prompt: config.json of falcon-7b"},
  {"b16hq71hkv1sq1sk2048d64:bf16", "Falcon 7B, one token each for 16 users: config.json of falcon-7b"},
  {"hq64sq2048d96:causal", "GPT-NeoX-20B, prompt: config.json of gpt-neox-20b"},
  {"hq16sq2048d256:causal", "GPT-J 6B, prompt: config.json of gpt-j-6b"},
  {"b8hq12sq1024d64:causal", "GPT-2, training: config.json of gpt2"},
  {"b8hq25sq1024d64:causal", "GPT-2 XL, training: config.json of gpt2-xl"},
  /* encoders */
  {"b32hq12sq512d64", "BERT-base, encoder: BERT, Pre-training of Deep Bidirectional Transformers"},
  {"b32hq16sq512d64", "BERT-large, encoder: BERT, Pre-training of Deep Bidirectional Transformers"},
  {"b64hq12sq197d64", "ViT-B/16, 224 × 224 pictures: An Image is Worth 16x16 Words"},
  {"b64hq16sq197d64", "ViT-L/16, 224 × 224 pictures: An Image is Worth 16x16 Words"},
  {"b64hq16sq257d80", "ViT-H/14, 224 × 224 pictures: An Image is Worth 16x16 Words"},
  {"b16hq16sq577d64", "CLIP ViT-L/14, 336 × 336 pictures: config.json of clip-vit-large-patch14-336"},
  {"b64hq12sq77d64:causal", "CLIP ViT-L/14, text: config.json of clip-vit-large-patch14"},
  {"b8hq20sq1500d64", "Whisper large, encoder, 30 seconds: ModelDimensions of its checkpoint"},
  {"b8hq20sq1sk1500d64", "Whisper large, decoder, cross-attention: ModelDimensions of its checkpoint"},
  /* diffusion; a batch of 2 is the guided and the free half of one picture */
  {"b2hq8sq4096d40", "Stable Diffusion 1.5, 64 × 64 latents, self-attention: v1-inference.yaml"},
  {"b2hq8sq4096sk77d40", "Stable Diffusion 1.5, 64 × 64 latents, cross-attention: v1-inference.yaml"},
  {"b2hq8sq1024d80", "Stable Diffusion 1.5, 32 × 32 latents, self-attention: v1-inference.yaml"},
  {"b2hq8sq256d160", "Stable Diffusion 1.5, 16 × 16 latents, self-attention: v1-inference.yaml"},
  {"b2hq10sq4096d64", "Stable Diffusion XL, 64 × 64 latents, self-attention: unet/config.json of stable-diffusion-xl-base-1.0"},
  {"b2hq20sq1024d64", "Stable Diffusion XL, 32 × 32 latents, self-attention: unet/config.json of stable-diffusion-xl-base-1.0"},
  {"b2hq20sq1024sk77d64", "Stable Diffusion XL, 32 × 32 latents, cross-attention: unet/config.json of stable-diffusion-xl-base-1.0"},
  {"b2hq24sq4429d64", "Stable Diffusion 3, 4096 latents and 333 text tokens: transformer/config.json of stable-diffusion-3-medium"},
  {"hq24sq4608d128:bf16", "FLUX.1, 4096 latents and 512 text tokens: transformer/config.json of FLUX.1-dev"},
  {"b32hq16sq256d72", "DiT-XL/2, 256 × 256 pictures: Scalable Diffusion Models with Transformers"},
  {"b8hq16sq1024d72", "DiT-XL/2, 512 × 512 pictures: Scalable Diffusion Models with Transformers"},
};
/* clang-format on */

const fl4__shape_set fl4__models =
    FL4__SHAPE_SET("models", "attention of well-known models, each with its source", models);
