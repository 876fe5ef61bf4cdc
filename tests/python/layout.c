/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints what the C compiler makes of the public structs and constants, for the Python package to be
 * held against: "struct NAME SIZE", "field STRUCT.NAME OFFSET SIZE", "part STRUCT.ARRAY.NAME OFFSET SIZE" of a struct
 * without a name that is an array's element, "value NAME NUMBER".
 */
#include <flashl4/flashl4.h>
#include <stdio.h>

#define STRUCT(s) printf("struct %s %zu\n", #s, sizeof(s))
#define FIELD(s, f) printf("field %s.%s %zu %zu\n", #s, #f, offsetof(s, f), sizeof(((s *)0)->f))
#define PART(s, a, f)                                                                                                  \
  printf("part %s.%s.%s %zu %zu\n", #s, #a, #f, offsetof(s, a[0].f) - offsetof(s, a), sizeof(((s *)0)->a[0].f))
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
  FIELD(fl4_problem, window_left);
  FIELD(fl4_problem, window_right);
  FIELD(fl4_problem, softcap);
  FIELD(fl4_problem, flags);
  FIELD(fl4_problem, alibi);
  FIELD(fl4_problem, sinks);
  FIELD(fl4_problem, bias);
  FIELD(fl4_problem, bias_shared);
  FIELD(fl4_problem, ragged);
  FIELD(fl4_problem, lens);
  FIELD(fl4_problem, page_size);
  FIELD(fl4_problem, reserved1);
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
  FIELD(fl4_attention_args, window_left);
  FIELD(fl4_attention_args, window_right);
  FIELD(fl4_attention_args, softcap);
  FIELD(fl4_attention_args, flags);
  FIELD(fl4_attention_args, alibi_slopes);
  FIELD(fl4_attention_args, alibi_stride);
  FIELD(fl4_attention_args, sinks);
  FIELD(fl4_attention_args, bias);
  FIELD(fl4_attention_args, bias_stride);
  FIELD(fl4_attention_args, bias_type);
  FIELD(fl4_attention_args, page_size);
  FIELD(fl4_attention_args, cu_seqlens_q);
  FIELD(fl4_attention_args, cu_seqlens_k);
  FIELD(fl4_attention_args, seqused_k);
  FIELD(fl4_attention_args, block_table);
  FIELD(fl4_attention_args, block_table_stride);
  FIELD(fl4_attention_args, n_pages);
  FIELD(fl4_attention_args, total_q);
  FIELD(fl4_attention_args, total_k);

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

static void statistics(void)
{
  STRUCT(fl4_statistics);
  FIELD(fl4_statistics, struct_size);
  FIELD(fl4_statistics, n);
  FIELD(fl4_statistics, min);
  FIELD(fl4_statistics, max);
  FIELD(fl4_statistics, mean);
  FIELD(fl4_statistics, stdev);
  FIELD(fl4_statistics, p50);
  FIELD(fl4_statistics, p90);
  FIELD(fl4_statistics, p95);
  FIELD(fl4_statistics, p99);
  FIELD(fl4_statistics, p50_low);
  FIELD(fl4_statistics, p50_high);
  FIELD(fl4_statistics, reserved);

  STRUCT(fl4_compare_options);
  FIELD(fl4_compare_options, struct_size);
  FIELD(fl4_compare_options, threshold);
  FIELD(fl4_compare_options, alpha);
  FIELD(fl4_compare_options, resamples);
  FIELD(fl4_compare_options, paired);
  FIELD(fl4_compare_options, seed);
  FIELD(fl4_compare_options, reserved);

  STRUCT(fl4_comparison);
  FIELD(fl4_comparison, struct_size);
  FIELD(fl4_comparison, n);
  FIELD(fl4_comparison, paired);
  FIELD(fl4_comparison, verdict);
  FIELD(fl4_comparison, ratio);
  FIELD(fl4_comparison, low);
  FIELD(fl4_comparison, high);
  FIELD(fl4_comparison, p_slower);
  FIELD(fl4_comparison, p_faster);
  FIELD(fl4_comparison, p_adjusted);
  FIELD(fl4_comparison, threshold);
  FIELD(fl4_comparison, alpha);
  FIELD(fl4_comparison, reserved);
}

static void benchmarks(void)
{
  STRUCT(fl4_bench_contender);
  FIELD(fl4_bench_contender, struct_size);
  FIELD(fl4_bench_contender, kind);
  FIELD(fl4_bench_contender, reserved0);
  FIELD(fl4_bench_contender, name);
  FIELD(fl4_bench_contender, device);
  FIELD(fl4_bench_contender, variant);
  FIELD(fl4_bench_contender, library);
  FIELD(fl4_bench_contender, reserved);

  STRUCT(fl4_limits);
  FIELD(fl4_limits, struct_size);
  FIELD(fl4_limits, mma_tflops);
  FIELD(fl4_limits, gemm_tflops);
  FIELD(fl4_limits, read_gbps);
  FIELD(fl4_limits, reserved);

  STRUCT(fl4_device_health);
  FIELD(fl4_device_health, struct_size);
  FIELD(fl4_device_health, sm_clock_mhz);
  FIELD(fl4_device_health, sm_clock_max_mhz);
  FIELD(fl4_device_health, memory_clock_mhz);
  FIELD(fl4_device_health, temperature_c);
  FIELD(fl4_device_health, power_w);
  FIELD(fl4_device_health, power_limit_w);
  FIELD(fl4_device_health, throttle_reasons);
  FIELD(fl4_device_health, driver);
  FIELD(fl4_device_health, reserved);

  STRUCT(fl4_bench_progress);
  FIELD(fl4_bench_progress, struct_size);
  FIELD(fl4_bench_progress, problem);
  FIELD(fl4_bench_progress, n_problems);
  FIELD(fl4_bench_progress, phase);
  FIELD(fl4_bench_progress, round);
  FIELD(fl4_bench_progress, seconds);
  FIELD(fl4_bench_progress, precision);
  FIELD(fl4_bench_progress, reserved);

  STRUCT(fl4_bench_options);
  FIELD(fl4_bench_options, struct_size);
  FIELD(fl4_bench_options, mode);
  FIELD(fl4_bench_options, cold);
  FIELD(fl4_bench_options, inputs);
  FIELD(fl4_bench_options, copies);
  FIELD(fl4_bench_options, seed);
  FIELD(fl4_bench_options, precision);
  FIELD(fl4_bench_options, warmup_seconds);
  FIELD(fl4_bench_options, max_seconds);
  FIELD(fl4_bench_options, min_samples);
  FIELD(fl4_bench_options, max_samples);
  FIELD(fl4_bench_options, oracle);
  FIELD(fl4_bench_options, n_contenders);
  FIELD(fl4_bench_options, contenders);
  FIELD(fl4_bench_options, limits);
  FIELD(fl4_bench_options, compare);
  FIELD(fl4_bench_options, progress);
  FIELD(fl4_bench_options, progress_user);
  FIELD(fl4_bench_options, reserved);

  STRUCT(fl4_bench_result);
  FIELD(fl4_bench_result, struct_size);
  FIELD(fl4_bench_result, samples);
  FIELD(fl4_bench_result, samples_size);
  FIELD(fl4_bench_result, status);
  FIELD(fl4_bench_result, checked);
  FIELD(fl4_bench_result, error);
  FIELD(fl4_bench_result, name);
  FIELD(fl4_bench_result, variant);
  FIELD(fl4_bench_result, library);
  FIELD(fl4_bench_result, kernel_hash);
  FIELD(fl4_bench_result, registers);
  FIELD(fl4_bench_result, spill_bytes);
  FIELD(fl4_bench_result, smem_bytes);
  FIELD(fl4_bench_result, blocks);
  FIELD(fl4_bench_result, max_error);
  FIELD(fl4_bench_result, max_allowed);
  FIELD(fl4_bench_result, oracle);
  FIELD(fl4_bench_result, mode);
  FIELD(fl4_bench_result, cold);
  FIELD(fl4_bench_result, copies);
  FIELD(fl4_bench_result, calls);
  FIELD(fl4_bench_result, stop);
  FIELD(fl4_bench_result, reserved0);
  FIELD(fl4_bench_result, seconds);
  FIELD(fl4_bench_result, stats);
  FIELD(fl4_bench_result, against);
  FIELD(fl4_bench_result, tflops);
  FIELD(fl4_bench_result, gbps);
  FIELD(fl4_bench_result, percent_matrix);
  FIELD(fl4_bench_result, percent_read);
  FIELD(fl4_bench_result, before);
  FIELD(fl4_bench_result, after);
  FIELD(fl4_bench_result, reserved);
}

static void tuning(void)
{
  STRUCT(fl4_tune_candidate);
  FIELD(fl4_tune_candidate, struct_size);
  FIELD(fl4_tune_candidate, variant);
  FIELD(fl4_tune_candidate, evaluation);
  FIELD(fl4_tune_candidate, invalidity);
  FIELD(fl4_tune_candidate, p50);
  FIELD(fl4_tune_candidate, p50_low);
  FIELD(fl4_tune_candidate, p50_high);
  FIELD(fl4_tune_candidate, samples);
  FIELD(fl4_tune_candidate, max_error);
  FIELD(fl4_tune_candidate, compile_ms);
  FIELD(fl4_tune_candidate, registers);
  FIELD(fl4_tune_candidate, spill_bytes);
  FIELD(fl4_tune_candidate, smem_bytes);
  FIELD(fl4_tune_candidate, same_as);
  FIELD(fl4_tune_candidate, kernel_hash);
  FIELD(fl4_tune_candidate, error);
  FIELD(fl4_tune_candidate, reserved);

  STRUCT(fl4_tune_progress);
  FIELD(fl4_tune_progress, struct_size);
  FIELD(fl4_tune_progress, phase);
  FIELD(fl4_tune_progress, evaluations);
  FIELD(fl4_tune_progress, most);
  FIELD(fl4_tune_progress, seconds);
  FIELD(fl4_tune_progress, latest);
  FIELD(fl4_tune_progress, best);
  FIELD(fl4_tune_progress, reserved);

  STRUCT(fl4_tune_options);
  FIELD(fl4_tune_options, struct_size);
  FIELD(fl4_tune_options, budget);
  FIELD(fl4_tune_options, max_evaluations);
  FIELD(fl4_tune_options, max_seconds);
  FIELD(fl4_tune_options, target_us);
  FIELD(fl4_tune_options, seed);
  FIELD(fl4_tune_options, strategy);
  FIELD(fl4_tune_options, family);
  FIELD(fl4_tune_options, log);
  FIELD(fl4_tune_options, mode);
  FIELD(fl4_tune_options, cold);
  FIELD(fl4_tune_options, inputs);
  FIELD(fl4_tune_options, compile_threads);
  FIELD(fl4_tune_options, time_limit);
  FIELD(fl4_tune_options, threshold);
  FIELD(fl4_tune_options, no_wisdom);
  FIELD(fl4_tune_options, reserved0);
  FIELD(fl4_tune_options, seeds);
  FIELD(fl4_tune_options, progress);
  FIELD(fl4_tune_options, progress_user);
  FIELD(fl4_tune_options, reserved);

  STRUCT(fl4_tune_report);
  FIELD(fl4_tune_report, struct_size);
  FIELD(fl4_tune_report, candidates);
  FIELD(fl4_tune_report, candidates_size);
  FIELD(fl4_tune_report, n_candidates);
  FIELD(fl4_tune_report, variant);
  FIELD(fl4_tune_report, improved);
  FIELD(fl4_tune_report, stop);
  FIELD(fl4_tune_report, space);
  FIELD(fl4_tune_report, evaluations);
  FIELD(fl4_tune_report, resumed);
  FIELD(fl4_tune_report, failed);
  FIELD(fl4_tune_report, seconds);
  FIELD(fl4_tune_report, compile_seconds);
  FIELD(fl4_tune_report, default_us);
  FIELD(fl4_tune_report, best_us);
  FIELD(fl4_tune_report, against);
  FIELD(fl4_tune_report, reserved);

  STRUCT(fl4_tune_space_info);
  FIELD(fl4_tune_space_info, struct_size);
  FIELD(fl4_tune_space_info, family);
  FIELD(fl4_tune_space_info, combinations);
  FIELD(fl4_tune_space_info, valid);
  FIELD(fl4_tune_space_info, same);
  FIELD(fl4_tune_space_info, n_parameters);
  FIELD(fl4_tune_space_info, n_reasons);
  FIELD(fl4_tune_space_info, parameters);
  FIELD(fl4_tune_space_info, reasons);
  FIELD(fl4_tune_space_info, reserved);
  PART(fl4_tune_space_info, parameters, name);
  PART(fl4_tune_space_info, parameters, what);
  PART(fl4_tune_space_info, parameters, n_values);
  PART(fl4_tune_space_info, parameters, values);
  PART(fl4_tune_space_info, reasons, reason);
  PART(fl4_tune_space_info, reasons, count);

  STRUCT(fl4_replay_report);
  FIELD(fl4_replay_report, struct_size);
  FIELD(fl4_replay_report, points);
  FIELD(fl4_replay_report, failed);
  FIELD(fl4_replay_report, best);
  FIELD(fl4_replay_report, difficulty);
  FIELD(fl4_replay_report, cap);
  FIELD(fl4_replay_report, seeds);
  FIELD(fl4_replay_report, to_95);
  FIELD(fl4_replay_report, to_99);
  FIELD(fl4_replay_report, at);
  FIELD(fl4_replay_report, reserved);
}

static void wisdom(void)
{
  STRUCT(fl4_wisdom_entry);
  FIELD(fl4_wisdom_entry, struct_size);
  FIELD(fl4_wisdom_entry, problem);
  FIELD(fl4_wisdom_entry, device);
  FIELD(fl4_wisdom_entry, variant);
  FIELD(fl4_wisdom_entry, source);
  FIELD(fl4_wisdom_entry, date);
  FIELD(fl4_wisdom_entry, mode);
  FIELD(fl4_wisdom_entry, budget);
  FIELD(fl4_wisdom_entry, evaluations);
  FIELD(fl4_wisdom_entry, improved);
  FIELD(fl4_wisdom_entry, match);
  FIELD(fl4_wisdom_entry, p50_us);
  FIELD(fl4_wisdom_entry, default_us);
  FIELD(fl4_wisdom_entry, max_error);
  FIELD(fl4_wisdom_entry, kernel_hash);
  FIELD(fl4_wisdom_entry, driver);
  FIELD(fl4_wisdom_entry, nvrtc);
  FIELD(fl4_wisdom_entry, reserved0);
  FIELD(fl4_wisdom_entry, reserved);

  STRUCT(fl4_wisdom_counts);
  FIELD(fl4_wisdom_counts, struct_size);
  FIELD(fl4_wisdom_counts, used);
  FIELD(fl4_wisdom_counts, replaced);
  FIELD(fl4_wisdom_counts, foreign);
  FIELD(fl4_wisdom_counts, stale);
  FIELD(fl4_wisdom_counts, damaged);
  FIELD(fl4_wisdom_counts, reserved);
}

static void constants(void)
{
#define STATUS(name, value, text) printf("value FL4_%s %d\n", #name, (int)FL4_##name);
  FL4_STATUS_MAP(STATUS)
#define INPUTS(name, text, what) printf("value FL4_INPUTS_%s %d\n", #name, (int)FL4_INPUTS_##name);
  FL4_INPUTS_MAP(INPUTS)
#define VERDICT(name, text) printf("value FL4_VERDICT_%s %d\n", #name, (int)FL4_VERDICT_##name);
  FL4_VERDICT_MAP(VERDICT)
#define MODE(name, text, what) printf("value FL4_BENCH_%s %d\n", #name, (int)FL4_BENCH_##name);
  FL4_BENCH_MODE_MAP(MODE)
#define STOP(name, text) printf("value FL4_BENCH_STOP_%s %d\n", #name, (int)FL4_BENCH_STOP_##name);
  FL4_BENCH_STOP_MAP(STOP)
  VALUE(FL4_ABI_VERSION);
  VALUE(FL4_DTYPE_FP16);
  VALUE(FL4_DTYPE_BF16);
  VALUE(FL4_DTYPE_FP32);
  VALUE(FL4_MASK_NONE);
  VALUE(FL4_MASK_CAUSAL);
  VALUE(FL4_MASK_WINDOW);
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
  VALUE(FL4_ORACLE_AUTO);
  VALUE(FL4_ORACLE_FP64);
  VALUE(FL4_ORACLE_CUBLAS);
  VALUE(FL4_CONTENDER_FORWARD);
  VALUE(FL4_CONTENDER_ORACLE);
  VALUE(FL4_PROBLEM_LINE_MAX);
  VALUE(FL4_BIAS_FP16);
  VALUE(FL4_BIAS_BF16);
  VALUE(FL4_BIAS_FP32);
  VALUE(FL4_BIAS_BOOL);
  VALUE(FL4_LENGTHS_ALL);
  VALUE(FL4_LENGTHS_DRAWN);
  VALUE(FL4_LENGTHS_FULL);
  VALUE(FL4_LENGTHS_ONE);
  VALUE(FL4_BATCH_INVARIANT);
}

int main(void)
{
  contexts();
  problems();
  attention();
  checks();
  statistics();
  benchmarks();
  tuning();
  wisdom();
  constants();
  return 0;
}
