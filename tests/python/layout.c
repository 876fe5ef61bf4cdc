/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints what the C compiler makes of the public structs and constants, for the Python package to be
 * held against: "struct NAME SIZE", "field STRUCT.NAME OFFSET SIZE", "value NAME NUMBER".
 */
#include <flashl4/flashl4.h>
#include <stdio.h>

#define STRUCT(s) printf("struct %s %zu\n", #s, sizeof(s))
#define FIELD(s, f) printf("field %s.%s %zu %zu\n", #s, #f, offsetof(s, f), sizeof(((s *)0)->f))
#define VALUE(name) printf("value %s %d\n", #name, (int)(name))

static void contexts(void)
{
  STRUCT(fl4_device_info);
  FIELD(fl4_device_info, struct_size);
  FIELD(fl4_device_info, kind);
  FIELD(fl4_device_info, ordinal);
  FIELD(fl4_device_info, name);
  FIELD(fl4_device_info, isa);
  FIELD(fl4_device_info, sm);
  FIELD(fl4_device_info, multiprocessors);
  FIELD(fl4_device_info, smem_per_block);
  FIELD(fl4_device_info, smem_per_sm);
  FIELD(fl4_device_info, registers_per_sm);
  FIELD(fl4_device_info, threads_per_sm);
  FIELD(fl4_device_info, l2_bytes);
  FIELD(fl4_device_info, memory_bytes);
  FIELD(fl4_device_info, reserved);

  STRUCT(fl4_context_options);
  FIELD(fl4_context_options, struct_size);
  FIELD(fl4_context_options, device);
  FIELD(fl4_context_options, variant);
  FIELD(fl4_context_options, cache_dir);
  FIELD(fl4_context_options, kernel_dir);
  FIELD(fl4_context_options, log);
  FIELD(fl4_context_options, log_user);
  FIELD(fl4_context_options, log_level);
  FIELD(fl4_context_options, threads);
  FIELD(fl4_context_options, flags);
  FIELD(fl4_context_options, reserved0);
  FIELD(fl4_context_options, reserved);

  STRUCT(fl4_cache_info);
  FIELD(fl4_cache_info, struct_size);
  FIELD(fl4_cache_info, dir);
  FIELD(fl4_cache_info, why_off);
  FIELD(fl4_cache_info, bytes);
  FIELD(fl4_cache_info, entries);
  FIELD(fl4_cache_info, limit_bytes);
  FIELD(fl4_cache_info, kernels_loaded);
  FIELD(fl4_cache_info, compiled);
  FIELD(fl4_cache_info, from_disk);
  FIELD(fl4_cache_info, nvrtc_version);
  FIELD(fl4_cache_info, nvrtc_loaded);
  FIELD(fl4_cache_info, reserved);
}

static void problems(void)
{
  STRUCT(fl4_problem);
  FIELD(fl4_problem, struct_size);
  FIELD(fl4_problem, dtype);
  FIELD(fl4_problem, mask);
  FIELD(fl4_problem, layout);
  FIELD(fl4_problem, lse);
  FIELD(fl4_problem, B);
  FIELD(fl4_problem, Hq);
  FIELD(fl4_problem, Hkv);
  FIELD(fl4_problem, Sq);
  FIELD(fl4_problem, Sk);
  FIELD(fl4_problem, D);
  FIELD(fl4_problem, scale);
  FIELD(fl4_problem, reserved0);
  FIELD(fl4_problem, reserved);
}

static void attention(void)
{
  STRUCT(fl4_attention_args);
  FIELD(fl4_attention_args, struct_size);
  FIELD(fl4_attention_args, dtype);
  FIELD(fl4_attention_args, mask);
  FIELD(fl4_attention_args, B);
  FIELD(fl4_attention_args, Hq);
  FIELD(fl4_attention_args, Hkv);
  FIELD(fl4_attention_args, Sq);
  FIELD(fl4_attention_args, Sk);
  FIELD(fl4_attention_args, D);
  FIELD(fl4_attention_args, q);
  FIELD(fl4_attention_args, k);
  FIELD(fl4_attention_args, v);
  FIELD(fl4_attention_args, o);
  FIELD(fl4_attention_args, lse);
  FIELD(fl4_attention_args, q_stride);
  FIELD(fl4_attention_args, k_stride);
  FIELD(fl4_attention_args, v_stride);
  FIELD(fl4_attention_args, o_stride);
  FIELD(fl4_attention_args, lse_stride);
  FIELD(fl4_attention_args, scale);
  FIELD(fl4_attention_args, reserved0);
  FIELD(fl4_attention_args, workspace);
  FIELD(fl4_attention_args, workspace_size);
  FIELD(fl4_attention_args, reserved);

  STRUCT(fl4_plan_info);
  FIELD(fl4_plan_info, struct_size);
  FIELD(fl4_plan_info, variant);
  FIELD(fl4_plan_info, aligned);
  FIELD(fl4_plan_info, blocks);
  FIELD(fl4_plan_info, threads);
  FIELD(fl4_plan_info, registers);
  FIELD(fl4_plan_info, spill_bytes);
  FIELD(fl4_plan_info, smem_bytes);
  FIELD(fl4_plan_info, origin);
  FIELD(fl4_plan_info, build_ms);
  FIELD(fl4_plan_info, kernel_hash);
  FIELD(fl4_plan_info, workspace_bytes);
  FIELD(fl4_plan_info, reserved);
}

static void checks(void)
{
  STRUCT(fl4_check_options);
  FIELD(fl4_check_options, struct_size);
  FIELD(fl4_check_options, seed);
  FIELD(fl4_check_options, inputs);
  FIELD(fl4_check_options, timed_calls);
  FIELD(fl4_check_options, oracle);
  FIELD(fl4_check_options, reserved0);
  FIELD(fl4_check_options, reserved);

  STRUCT(fl4_check_result);
  FIELD(fl4_check_result, struct_size);
  FIELD(fl4_check_result, passed);
  FIELD(fl4_check_result, finite);
  FIELD(fl4_check_result, canaries);
  FIELD(fl4_check_result, deterministic);
  FIELD(fl4_check_result, accurate);
  FIELD(fl4_check_result, lse_accurate);
  FIELD(fl4_check_result, max_error);
  FIELD(fl4_check_result, mean_error);
  FIELD(fl4_check_result, max_low);
  FIELD(fl4_check_result, mean_low);
  FIELD(fl4_check_result, max_allowed);
  FIELD(fl4_check_result, mean_allowed);
  FIELD(fl4_check_result, lse_error);
  FIELD(fl4_check_result, lse_allowed);
  FIELD(fl4_check_result, correlation);
  FIELD(fl4_check_result, scale);
  FIELD(fl4_check_result, worst);
  FIELD(fl4_check_result, worst_out);
  FIELD(fl4_check_result, worst_ref);
  FIELD(fl4_check_result, rows_checked);
  FIELD(fl4_check_result, oracle);
  FIELD(fl4_check_result, variant);
  FIELD(fl4_check_result, time_us);
  FIELD(fl4_check_result, build_ms);
  FIELD(fl4_check_result, origin);
  FIELD(fl4_check_result, registers);
  FIELD(fl4_check_result, spill_bytes);
  FIELD(fl4_check_result, smem_bytes);
  FIELD(fl4_check_result, reserved);
}

static void constants(void)
{
#define STATUS(name, value, text) printf("value FL4_%s %d\n", #name, (int)FL4_##name);
  FL4_STATUS_MAP(STATUS)
#define INPUTS(name, text, what) printf("value FL4_INPUTS_%s %d\n", #name, (int)FL4_INPUTS_##name);
  FL4_INPUTS_MAP(INPUTS)
  VALUE(FL4_ABI_VERSION);
  VALUE(FL4_DTYPE_FP16);
  VALUE(FL4_DTYPE_BF16);
  VALUE(FL4_DTYPE_FP32);
  VALUE(FL4_MASK_NONE);
  VALUE(FL4_MASK_CAUSAL);
  VALUE(FL4_LAYOUT_BHSD);
  VALUE(FL4_LAYOUT_BSHD);
  VALUE(FL4_LAYOUT_PACKED);
  VALUE(FL4_LAYOUT_ODD);
  VALUE(FL4_DEVICE_HOST);
  VALUE(FL4_DEVICE_CUDA);
  VALUE(FL4_DEVICE_EMU);
  VALUE(FL4_KERNEL_BUILT_IN);
  VALUE(FL4_KERNEL_COMPILED);
  VALUE(FL4_KERNEL_FROM_DISK);
  VALUE(FL4_CONTEXT_NO_DISK_CACHE);
  VALUE(FL4_CONTEXT_DEBUG);
}

int main(void)
{
  contexts();
  problems();
  attention();
  checks();
  constants();
  return 0;
}
