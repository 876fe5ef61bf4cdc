# SPDX-License-Identifier: Apache-2.0
"""The C interface as ctypes sees it: constants, structs and functions as in include/flashl4/.

tests/python compares every offset with the C compiler's and every function with the library's list.
"""
import ctypes
import os
from ctypes import POINTER, c_char, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_size_t
from ctypes import c_uint32, c_uint64, c_void_p

ABI_VERSION = 0  # FL4_ABI_VERSION, the number in the SONAME

STATUS = {
    0: "OK", -1: "INVALID_ARGUMENT", -2: "UNSUPPORTED", -3: "OUT_OF_MEMORY", -4: "NO_DEVICE",
    -5: "LIBRARY_MISSING", -6: "COMPILE_FAILED", -7: "DEVICE_ERROR", -8: "NOT_PREPARED",
    -9: "WORKSPACE_TOO_SMALL", -10: "IO_ERROR", -11: "INVARIANT_VIOLATED", -12: "INTERNAL", -13: "CANCELLED",
    -14: "WRONG_OUTPUT",
}  # fmt: skip
DTYPES = ("float16", "bfloat16", "float32")  # fl4_dtype
MASKS = ("none", "causal", "window")  # fl4_mask
BIASES = ("float16", "bfloat16", "float32", "bool")  # fl4_bias_type
ROTARIES = ("none", "halves", "pairs")  # fl4_rotary
LENGTHS = ("all", "drawn", "full", "one")  # fl4_lengths
LAYOUTS = ("bhsd", "bshd", "packed", "odd")  # fl4_layout
DEVICE_KINDS = ("host", "cuda", "emu")  # fl4_device_kind
ORIGINS = ("built in", "compiled", "from disk")  # fl4_kernel_origin
INPUTS = ("normal", "peaked", "onehot", "large", "equal", "sink", "growing", "shrinking", "mixed")  # fl4_inputs
ORACLES = ("auto", "fp64", "cublas")  # fl4_oracle
VERDICTS = ("ambiguous", "same", "faster", "slower")  # fl4_verdict
BENCH_MODES = ("auto", "graph", "events", "eager")  # fl4_bench_mode
BENCH_STOPS = ("not timed", "precise", "time", "samples", "cancelled")  # fl4_bench_stop
CONTENDER_KINDS = ("forward", "oracle")  # fl4_contender_kind
TUNE_BUDGETS = ("measure", "estimate", "patient", "exhaustive")  # fl4_tune_budget
TUNE_STOPS = ("not ended", "evaluations", "space", "seconds", "target", "stale", "cancelled")  # fl4_tune_stop
INVALIDITIES = ("correct", "constraints", "compile", "runtime", "timeout", "correctness")  # fl4_invalidity
MATCHES = ("none", "exact", "bucket", "near")  # fl4_match
CONTEXT_NO_DISK_CACHE, CONTEXT_DEBUG = 1, 2
CANCELLED = -13  # of STATUS
PROBLEM_LINE_MAX = 256
BATCH_INVARIANT = 1  # of fl4_attention_flag
REPLAY_CAP = 1500  # most evaluations of fl4_tune_replay() where none are given


class Struct(ctypes.Structure):
    """A struct of the library: knows its size, and zero is the default of everything else."""

    def __init__(self, **fields):
        super().__init__(**fields)
        self.init()

    def init(self):
        """Sets struct_size, of structs inside too: elements of ctypes arrays are made without __init__."""
        self.struct_size = ctypes.sizeof(self)
        for field in self._fields_:
            if issubclass(field[1], Struct):
                getattr(self, field[0]).init()


class DeviceInfo(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("kind", c_int32), ("ordinal", c_int32), ("name", c_char * 64), ("isa", c_char * 16),
        ("sm", c_int32), ("multiprocessors", c_int32), ("smem_per_block", c_int32), ("smem_per_sm", c_int32),
        ("registers_per_sm", c_int32), ("threads_per_sm", c_int32), ("l2_bytes", c_int64), ("memory_bytes", c_int64),
        ("reserved", c_uint64 * 4),
    ]  # fmt: skip


LogFn = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_char_p)


class ContextOptions(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("device", c_char_p), ("variant", c_char_p), ("cache_dir", c_char_p),
        ("kernel_dir", c_char_p), ("log", LogFn), ("log_user", c_void_p), ("log_level", c_int32), ("threads", c_int32),
        ("flags", c_uint32), ("reserved0", c_uint32), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class CacheInfo(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("dir", c_char * 256), ("why_off", c_char * 128), ("bytes", c_int64),
        ("entries", c_int64), ("limit_bytes", c_int64), ("kernels_loaded", c_int64), ("compiled", c_int64),
        ("from_disk", c_int64), ("nvrtc_version", c_int32), ("nvrtc_loaded", c_int32), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class Problem(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("dtype", c_int32), ("mask", c_int32), ("layout", c_int32), ("lse", c_int32),
        ("B", c_int64), ("Hq", c_int64), ("Hkv", c_int64), ("Sq", c_int64), ("Sk", c_int64), ("D", c_int64),
        ("scale", c_float), ("reserved0", c_uint32), ("reserved", c_uint64 * 4), ("window_left", c_int64),
        ("window_right", c_int64), ("softcap", c_float), ("flags", c_uint32), ("alibi", c_int32), ("sinks", c_int32),
        ("bias", c_int32), ("bias_shared", c_int32), ("ragged", c_int32), ("lens", c_int32), ("page_size", c_int32),
        ("reserved1", c_int32),
    ]  # fmt: skip


class AttentionArgs(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("dtype", c_int32), ("mask", c_int32),
        ("B", c_int64), ("Hq", c_int64), ("Hkv", c_int64), ("Sq", c_int64), ("Sk", c_int64), ("D", c_int64),
        ("q", c_void_p), ("k", c_void_p), ("v", c_void_p), ("o", c_void_p), ("lse", c_void_p),
        ("q_stride", c_int64 * 3), ("k_stride", c_int64 * 3), ("v_stride", c_int64 * 3), ("o_stride", c_int64 * 3),
        ("lse_stride", c_int64 * 3), ("scale", c_float), ("reserved0", c_uint32), ("workspace", c_void_p),
        ("workspace_size", c_size_t), ("reserved", c_uint64 * 4), ("window_left", c_int64), ("window_right", c_int64),
        ("softcap", c_float), ("flags", c_uint32), ("alibi_slopes", c_void_p), ("alibi_stride", c_int64 * 2),
        ("sinks", c_void_p), ("bias", c_void_p), ("bias_stride", c_int64 * 4), ("bias_type", c_int32),
        ("page_size", c_int32), ("cu_seqlens_q", c_void_p), ("cu_seqlens_k", c_void_p), ("seqused_k", c_void_p),
        ("block_table", c_void_p), ("block_table_stride", c_int64), ("n_pages", c_int64), ("total_q", c_int64),
        ("total_k", c_int64),
    ]  # fmt: skip


class MergeStatesArgs(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("dtype", c_int32), ("parts_fp32", c_int32), ("n", c_int64), ("B", c_int64),
        ("Hq", c_int64), ("Sq", c_int64), ("D", c_int64), ("parts", c_void_p), ("parts_lse", c_void_p),
        ("parts_list", POINTER(c_void_p)), ("parts_lse_list", POINTER(c_void_p)), ("o", c_void_p), ("lse", c_void_p),
        ("parts_stride", c_int64 * 4), ("parts_lse_stride", c_int64 * 4), ("o_stride", c_int64 * 3),
        ("lse_stride", c_int64 * 3), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class KvAppendArgs(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("dtype", c_int32), ("rotary", c_int32), ("B", c_int64), ("Hq", c_int64),
        ("Hkv", c_int64), ("Sn", c_int64), ("Sk", c_int64), ("D", c_int64), ("k_new", c_void_p), ("v_new", c_void_p),
        ("k", c_void_p), ("v", c_void_p), ("q", c_void_p), ("q_out", c_void_p), ("k_new_stride", c_int64 * 3),
        ("v_new_stride", c_int64 * 3), ("k_stride", c_int64 * 3), ("v_stride", c_int64 * 3), ("q_stride", c_int64 * 3),
        ("q_out_stride", c_int64 * 3), ("seqused_k", c_void_p), ("seqused_k_after", c_void_p),
        ("cu_seqlens_new", c_void_p), ("block_table", c_void_p), ("rotary_cos", c_void_p), ("rotary_sin", c_void_p),
        ("rotary_dim", c_int64), ("max_position", c_int64), ("total_new", c_int64), ("block_table_stride", c_int64),
        ("n_pages", c_int64), ("page_size", c_int32), ("reserved0", c_uint32), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class PlanInfo(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("variant", c_char * 128), ("aligned", c_int32), ("blocks", c_int32),
        ("threads", c_int32), ("registers", c_int32), ("spill_bytes", c_int32), ("smem_bytes", c_int32),
        ("origin", c_int32), ("build_ms", c_float), ("kernel_hash", c_uint64), ("workspace_bytes", c_size_t),
        ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class CheckOptions(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("seed", c_uint64), ("inputs", c_int32), ("timed_calls", c_int32),
        ("oracle", c_int32), ("reserved0", c_uint32),
        ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class CheckResult(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("passed", c_int32), ("finite", c_int32), ("canaries", c_int32),
        ("deterministic", c_int32), ("accurate", c_int32), ("lse_accurate", c_int32), ("max_error", c_double),
        ("mean_error", c_double), ("max_low", c_double), ("mean_low", c_double), ("max_allowed", c_double),
        ("mean_allowed", c_double), ("lse_error", c_double), ("lse_allowed", c_double), ("correlation", c_double),
        ("scale", c_double), ("worst", c_int64 * 4), ("worst_out", c_double), ("worst_ref", c_double),
        ("rows_checked", c_int64), ("oracle", c_char * 32), ("variant", c_char * 128), ("time_us", c_double),
        ("build_ms", c_double), ("origin", c_int32), ("registers", c_int32), ("spill_bytes", c_int32),
        ("smem_bytes", c_int32), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class Statistics(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("n", c_int64), ("min", c_double), ("max", c_double), ("mean", c_double),
        ("stdev", c_double), ("p50", c_double), ("p90", c_double), ("p95", c_double), ("p99", c_double),
        ("p50_low", c_double), ("p50_high", c_double), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class CompareOptions(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("threshold", c_double), ("alpha", c_double), ("resamples", c_int32),
        ("paired", c_int32), ("seed", c_uint64), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class Comparison(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("n", c_int64), ("paired", c_int32), ("verdict", c_int32), ("ratio", c_double),
        ("low", c_double), ("high", c_double), ("p_slower", c_double), ("p_faster", c_double),
        ("p_adjusted", c_double), ("threshold", c_double), ("alpha", c_double), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class BenchContender(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("kind", c_int32), ("reserved0", c_uint32), ("name", c_char_p),
        ("device", c_char_p), ("variant", c_char_p), ("library", c_char_p), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class Limits(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("mma_tflops", c_double), ("gemm_tflops", c_double), ("read_gbps", c_double),
        ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class DeviceHealth(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("sm_clock_mhz", c_int32), ("sm_clock_max_mhz", c_int32),
        ("memory_clock_mhz", c_int32), ("temperature_c", c_int32), ("power_w", c_double), ("power_limit_w", c_double),
        ("throttle_reasons", c_int64), ("driver", c_char * 32), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class BenchProgress(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("problem", c_int64), ("n_problems", c_int64), ("phase", c_char_p),
        ("round", c_int64), ("seconds", c_double), ("precision", c_double), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


BenchProgressFn = ctypes.CFUNCTYPE(c_int, POINTER(BenchProgress), c_void_p)


class BenchOptions(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("mode", c_int32), ("cold", c_int32), ("inputs", c_int32), ("copies", c_int32),
        ("seed", c_uint64), ("precision", c_double), ("warmup_seconds", c_double), ("max_seconds", c_double),
        ("min_samples", c_int32), ("max_samples", c_int32), ("oracle", c_int32), ("n_contenders", c_int32),
        ("contenders", POINTER(BenchContender)), ("limits", POINTER(Limits)), ("compare", POINTER(CompareOptions)),
        ("progress", BenchProgressFn), ("progress_user", c_void_p), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class BenchResult(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("samples", POINTER(c_double)), ("samples_size", c_int64), ("status", c_int32),
        ("checked", c_int32), ("error", c_char * 256), ("name", c_char * 64), ("variant", c_char * 128),
        ("library", c_char * 64), ("kernel_hash", c_uint64), ("registers", c_int32), ("spill_bytes", c_int32),
        ("smem_bytes", c_int32), ("blocks", c_int32), ("max_error", c_double), ("max_allowed", c_double),
        ("oracle", c_char * 32), ("mode", c_int32), ("cold", c_int32), ("copies", c_int32), ("calls", c_int32),
        ("stop", c_int32), ("reserved0", c_int32), ("seconds", c_double), ("stats", Statistics),
        ("against", Comparison), ("tflops", c_double), ("gbps", c_double), ("percent_matrix", c_double),
        ("percent_read", c_double), ("before", DeviceHealth), ("after", DeviceHealth), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class TuneCandidate(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("variant", c_char * 128), ("evaluation", c_int32), ("invalidity", c_int32),
        ("p50", c_double), ("p50_low", c_double), ("p50_high", c_double), ("samples", c_int64),
        ("max_error", c_double), ("compile_ms", c_double), ("registers", c_int32), ("spill_bytes", c_int32),
        ("smem_bytes", c_int32), ("same_as", c_int32), ("kernel_hash", c_uint64), ("error", c_char * 128),
        ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class TuneProgress(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("phase", c_char_p), ("evaluations", c_int64), ("most", c_int64),
        ("seconds", c_double), ("latest", POINTER(TuneCandidate)), ("best", POINTER(TuneCandidate)),
        ("reserved", c_uint64 * 4),
    ]  # fmt: skip


TuneProgressFn = ctypes.CFUNCTYPE(c_int, POINTER(TuneProgress), c_void_p)


class TuneOptions(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("budget", c_int32), ("max_evaluations", c_int32), ("max_seconds", c_double),
        ("target_us", c_double), ("seed", c_uint64), ("strategy", c_char_p), ("family", c_char_p), ("log", c_char_p),
        ("mode", c_int32), ("cold", c_int32), ("inputs", c_int32), ("compile_threads", c_int32),
        ("time_limit", c_double), ("threshold", c_double), ("no_wisdom", c_int32), ("reserved0", c_uint32),
        ("seeds", POINTER(c_char_p)), ("progress", TuneProgressFn), ("progress_user", c_void_p),
        ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class TuneReport(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("candidates", POINTER(TuneCandidate)), ("candidates_size", c_int64),
        ("n_candidates", c_int64), ("variant", c_char * 128), ("improved", c_int32), ("stop", c_int32),
        ("space", c_int64), ("evaluations", c_int64), ("resumed", c_int64), ("failed", c_int64),
        ("seconds", c_double), ("compile_seconds", c_double), ("default_us", c_double), ("best_us", c_double),
        ("against", Comparison), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class TuneParameter(ctypes.Structure):
    """An element of fl4_tune_space_info.parameters, like the next: without a name, and without a size, in C."""

    _fields_ = [("name", c_char * 16), ("what", c_char * 96), ("n_values", c_int32), ("values", c_int32 * 12)]


class TuneReason(ctypes.Structure):
    _fields_ = [("reason", c_char * 160), ("count", c_int64)]


class TuneSpaceInfo(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("family", c_char * 32), ("combinations", c_int64), ("valid", c_int64),
        ("same", c_int64), ("n_parameters", c_int32), ("n_reasons", c_int32), ("parameters", TuneParameter * 16),
        ("reasons", TuneReason * 16), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class ReplayReport(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("points", c_int64), ("failed", c_int64), ("best", c_double),
        ("difficulty", c_double), ("cap", c_int32), ("seeds", c_int32), ("to_95", c_int32 * 3),
        ("to_99", c_int32 * 3), ("at", c_double * 4), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class WisdomEntry(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("problem", c_char * 192), ("device", c_char * 64), ("variant", c_char * 128),
        ("source", c_char * 64), ("date", c_char * 24), ("mode", c_char * 16), ("budget", c_int32),
        ("evaluations", c_int32), ("improved", c_int32), ("match", c_int32), ("p50_us", c_double),
        ("default_us", c_double), ("max_error", c_double), ("kernel_hash", c_uint64), ("driver", c_char * 32),
        ("nvrtc", c_int32), ("reserved0", c_int32), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


class WisdomCounts(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("used", c_int64), ("replaced", c_int64), ("foreign", c_int64),
        ("stale", c_int64), ("damaged", c_int64), ("reserved", c_uint64 * 4),
    ]  # fmt: skip


STRUCTS = {
    "fl4_device_info": DeviceInfo,
    "fl4_context_options": ContextOptions,
    "fl4_cache_info": CacheInfo,
    "fl4_problem": Problem,
    "fl4_attention_args": AttentionArgs,
    "fl4_merge_states_args": MergeStatesArgs,
    "fl4_kv_append_args": KvAppendArgs,
    "fl4_plan_info": PlanInfo,
    "fl4_check_options": CheckOptions,
    "fl4_check_result": CheckResult,
    "fl4_statistics": Statistics,
    "fl4_compare_options": CompareOptions,
    "fl4_comparison": Comparison,
    "fl4_bench_contender": BenchContender,
    "fl4_limits": Limits,
    "fl4_device_health": DeviceHealth,
    "fl4_bench_progress": BenchProgress,
    "fl4_bench_options": BenchOptions,
    "fl4_bench_result": BenchResult,
    "fl4_tune_candidate": TuneCandidate,
    "fl4_tune_progress": TuneProgress,
    "fl4_tune_options": TuneOptions,
    "fl4_tune_report": TuneReport,
    "fl4_tune_space_info": TuneSpaceInfo,
    "fl4_replay_report": ReplayReport,
    "fl4_wisdom_entry": WisdomEntry,
    "fl4_wisdom_counts": WisdomCounts,
}

status, context, stream, tuner = c_int, c_void_p, c_void_p, c_void_p
rows, doubles = POINTER(c_int64), POINTER(c_double)
FUNCTIONS = {
    "fl4_version": (c_int, []),
    "fl4_version_string": (c_char_p, []),
    "fl4_status_string": (c_char_p, [status]),
    "fl4_status_name": (c_char_p, [status]),
    "fl4_last_error": (c_char_p, []),
    "fl4_device_count": (c_int, []),
    "fl4_device_get_info": (status, [c_int, POINTER(DeviceInfo)]),
    "fl4_context_create": (status, [POINTER(context), POINTER(ContextOptions)]),
    "fl4_context_destroy": (None, [POINTER(context)]),
    "fl4_context_get_device_info": (status, [context, POINTER(DeviceInfo)]),
    "fl4_context_get_cache_info": (status, [context, POINTER(CacheInfo)]),
    "fl4_problem_parse": (status, [c_char_p, POINTER(Problem)]),
    "fl4_problem_format": (status, [POINTER(Problem), c_char_p, c_size_t]),
    "fl4_problem_flops": (c_double, [POINTER(Problem)]),
    "fl4_problem_bytes": (c_double, [POINTER(Problem)]),
    "fl4_attention_forward": (status, [context, POINTER(AttentionArgs), stream]),
    "fl4_attention_prepare": (status, [context, POINTER(AttentionArgs)]),
    "fl4_attention_workspace_size": (status, [context, POINTER(AttentionArgs), POINTER(c_size_t)]),
    "fl4_attention_plan_info": (status, [context, POINTER(AttentionArgs), POINTER(PlanInfo)]),
    "fl4_merge_states": (status, [context, POINTER(MergeStatesArgs), stream]),
    "fl4_merge_states_prepare": (status, [context, POINTER(MergeStatesArgs)]),
    "fl4_kv_append": (status, [context, POINTER(KvAppendArgs), stream]),
    "fl4_kv_append_prepare": (status, [context, POINTER(KvAppendArgs)]),
    "fl4_oracle_fp64": (status, [POINTER(AttentionArgs), rows, c_int64, doubles, doubles, doubles]),
    "fl4_oracle_cublas": (status, [context, POINTER(AttentionArgs), c_void_p, c_void_p, c_void_p, stream]),
    "fl4_inputs_name": (c_char_p, [c_int]),
    "fl4_check": (status, [context, POINTER(Problem), POINTER(CheckOptions), POINTER(CheckResult)]),
    "fl4_shapes_name": (c_char_p, [c_size_t]),
    "fl4_shapes_what": (c_char_p, [c_char_p]),
    "fl4_shapes_count": (c_size_t, [c_char_p]),
    "fl4_shapes_line": (c_char_p, [c_char_p, c_size_t]),
    "fl4_shapes_note": (c_char_p, [c_char_p, c_size_t]),
    "fl4_statistics_compute": (status, [doubles, c_int64, POINTER(Statistics)]),
    "fl4_verdict_name": (c_char_p, [c_int]),
    "fl4_compare_samples": (
        status, [doubles, c_int64, doubles, c_int64, POINTER(CompareOptions), POINTER(Comparison)],
    ),
    "fl4_compare_judge": (status, [POINTER(POINTER(Comparison)), c_int64]),
    "fl4_bench_mode_name": (c_char_p, [c_int]),
    "fl4_bench_stop_name": (c_char_p, [c_int]),
    "fl4_bench": (status, [context, POINTER(Problem), c_int64, POINTER(BenchOptions), POINTER(BenchResult)]),
    "fl4_bench_limits": (status, [context, POINTER(Limits)]),
    "fl4_context_get_health": (status, [context, POINTER(DeviceHealth)]),
    "fl4_throttle_text": (c_char_p, [c_int64, c_char_p]),
    "fl4_tune_budget_name": (c_char_p, [c_int]),
    "fl4_tune_stop_name": (c_char_p, [c_int]),
    "fl4_invalidity_name": (c_char_p, [c_int]),
    "fl4_tune": (status, [context, POINTER(Problem), POINTER(TuneOptions), POINTER(TuneReport)]),
    "fl4_tuner_create": (status, [context, POINTER(Problem), POINTER(TuneOptions), POINTER(tuner)]),
    "fl4_tune_step": (status, [tuner, POINTER(c_int32)]),
    "fl4_tuner_finish": (status, [tuner, POINTER(TuneReport)]),
    "fl4_tuner_destroy": (None, [POINTER(tuner)]),
    "fl4_tune_space": (status, [context, POINTER(Problem), c_char_p, POINTER(TuneSpaceInfo)]),
    "fl4_tune_replay": (status, [c_char_p, c_char_p, c_int32, c_int32, doubles, POINTER(ReplayReport)]),
    "fl4_match_name": (c_char_p, [c_int]),
    "fl4_wisdom_lookup": (status, [context, POINTER(Problem), POINTER(WisdomEntry)]),
    "fl4_wisdom_count": (c_size_t, [context]),
    "fl4_wisdom_get": (status, [context, c_size_t, POINTER(WisdomEntry)]),
    "fl4_wisdom_set": (status, [context, POINTER(Problem), c_char_p]),
    "fl4_wisdom_load": (status, [context, c_char_p, POINTER(WisdomCounts)]),
    "fl4_wisdom_save": (status, [context, c_char_p]),
    "fl4_wisdom_forget": (status, [context]),
    "fl4_wisdom_export": (status, [context, c_char_p, POINTER(c_size_t)]),
    "fl4_wisdom_import": (status, [context, c_char_p, POINTER(WisdomCounts)]),
    "fl4_wisdom_merge": (status, [POINTER(c_char_p), c_size_t, c_char_p, c_int32, POINTER(WisdomCounts)]),
}  # fmt: skip


def _load():
    name = os.environ.get("FLASHL4_LIBRARY") or f"libflashl4.so.{ABI_VERSION}"
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise ImportError(f"{error}; install flashl4, or set FLASHL4_LIBRARY to its library") from None
    for function, (restype, argtypes) in FUNCTIONS.items():
        getattr(library, function).restype = restype
        getattr(library, function).argtypes = argtypes
    return library


lib = _load()
