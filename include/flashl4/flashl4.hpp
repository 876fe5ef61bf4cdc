/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file flashl4.hpp
 * @brief The C interface for C++17: a context that cleans up after itself, and errors that are thrown.
 *
 * Header-only. No C++ type crosses the border of the shared library, so any compiler and any standard
 * library will do. Arguments and results are the C structs; their FL4_…_INIT work in C++ too.
 */
#ifndef FLASHL4_HPP
#define FLASHL4_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <flashl4/flashl4.h>

/** The C++ face of flashl4. */
namespace fl4 {

/** A call failed. what() is the sentence of fl4_last_error(). Since: 0.1. */
class error : public std::runtime_error {
public:
  /** Takes the sentence of the call that has just failed on this thread. */
  explicit error(fl4_status status) : std::runtime_error(sentence(status)), status_(status) {}

  /** The call's status, never ::FL4_OK. */
  fl4_status status() const noexcept { return status_; }

private:
  static const char *sentence(fl4_status status)
  {
    const char *last = fl4_last_error();
    return last[0] ? last : fl4_status_string(status);
  }

  fl4_status status_;
};

/** Throws an fl4::error unless the status is ::FL4_OK. Since: 0.1. */
inline void check_status(fl4_status status)
{
  if (status != FL4_OK) throw error(status);
}

/** Reads a problem line, fl4_problem_parse(). Since: 0.1. */
inline fl4_problem parse_problem(const char *line)
{
  fl4_problem problem = FL4_PROBLEM_INIT;
  check_status(fl4_problem_parse(line, &problem));
  return problem;
}

/** Writes a problem line, fl4_problem_format(). Since: 0.1. */
inline std::string format_problem(const fl4_problem &problem)
{
  char line[FL4_PROBLEM_LINE_MAX];
  check_status(fl4_problem_format(&problem, line, sizeof line));
  return line;
}

/** Statistics of a sample, fl4_statistics_compute(). Since: 0.1. */
inline fl4_statistics statistics(const std::vector<double> &samples)
{
  fl4_statistics out = FL4_STATISTICS_INIT;
  check_status(fl4_statistics_compute(samples.data(), static_cast<std::int64_t>(samples.size()), &out));
  return out;
}

/** Compares two samples of times, fl4_compare_samples(). Since: 0.1. */
inline fl4_comparison compare(const std::vector<double> &base, const std::vector<double> &other,
                              const fl4_compare_options *options = nullptr)
{
  fl4_comparison out = FL4_COMPARISON_INIT;
  check_status(fl4_compare_samples(base.data(), static_cast<std::int64_t>(base.size()), other.data(),
                                   static_cast<std::int64_t>(other.size()), options, &out));
  return out;
}

/** Judges comparisons that belong together, fl4_compare_judge(). Since: 0.1. */
inline void judge(std::vector<fl4_comparison> &comparisons)
{
  std::vector<fl4_comparison *> pointers;
  for (fl4_comparison &comparison : comparisons) pointers.push_back(&comparison);
  check_status(fl4_compare_judge(pointers.data(), static_cast<std::int64_t>(pointers.size())));
}

/** An ::fl4_bench_result with its samples. Since: 0.1. */
struct bench_result : fl4_bench_result {
  std::vector<double> times; /**< microseconds of one call, in the order measured; `samples` is NULL */
};

/** An ::fl4_tune_report with its candidates. Since: 0.1. */
struct tune_report : fl4_tune_report {
  std::vector<fl4_tune_candidate> tried; /**< the fastest first; `candidates` is NULL */
};

/**
 * Owns an ::fl4_context. It can be moved but not copied; one that was moved from may only be assigned
 * to or destroyed. Thread-safety: as the C functions, so forward() and its kin may run from any number
 * of threads at once. Since: 0.1.
 */
class context {
public:
  /** Opens a device: "cuda:0", "host", or nullptr for the best one there is. */
  explicit context(const char *device = nullptr)
  {
    fl4_context_options options = FL4_CONTEXT_OPTIONS_INIT;
    options.device = device;
    open(options);
  }

  /** Opens a device with all options, fl4_context_create(). */
  explicit context(const fl4_context_options &options) { open(options); }

  /** Computes attention, fl4_attention_forward(). */
  void forward(const fl4_attention_args &args, fl4_stream stream = nullptr)
  {
    check_status(fl4_attention_forward(get(), &args, stream));
  }

  /** Compiles ahead, fl4_attention_prepare(). */
  void prepare(const fl4_attention_args &args) { check_status(fl4_attention_prepare(get(), &args)); }

  /** Bytes of workspace that a call uses; zeroed once, it serves all. fl4_attention_workspace_size(). */
  std::size_t workspace_size(const fl4_attention_args &args)
  {
    std::size_t bytes = 0;
    check_status(fl4_attention_workspace_size(get(), &args, &bytes));
    return bytes;
  }

  /** How a call runs, fl4_attention_plan_info(). */
  fl4_plan_info plan_info(const fl4_attention_args &args)
  {
    fl4_plan_info info = FL4_PLAN_INFO_INIT;
    check_status(fl4_attention_plan_info(get(), &args, &info));
    return info;
  }

  /** Puts partial results together, fl4_merge_states(). */
  void merge_states(const fl4_merge_states_args &args, fl4_stream stream = nullptr)
  {
    check_status(fl4_merge_states(get(), &args, stream));
  }

  /** Compiles ahead for merge_states(), fl4_merge_states_prepare(). */
  void prepare(const fl4_merge_states_args &args) { check_status(fl4_merge_states_prepare(get(), &args)); }

  /** Appends keys and values to a cache, fl4_kv_append(). */
  void kv_append(const fl4_kv_append_args &args, fl4_stream stream = nullptr)
  {
    check_status(fl4_kv_append(get(), &args, stream));
  }

  /** Compiles ahead for kv_append(), fl4_kv_append_prepare(). */
  void prepare(const fl4_kv_append_args &args) { check_status(fl4_kv_append_prepare(get(), &args)); }

  /** Is the forward right on this device? fl4_check(). A mismatch is a result, not an error. */
  fl4_check_result check(const fl4_problem &problem, const fl4_check_options *options = nullptr)
  {
    fl4_check_result result = FL4_CHECK_RESULT_INIT;
    check_status(fl4_check(get(), &problem, options, &result));
    return result;
  }

  /**
   * Times problems, fl4_bench(): problem by problem, each with all contenders. A call that `progress`
   * cancelled returns what it has, and `stop` tells; `progress` must not throw.
   */
  std::vector<bench_result> bench(const std::vector<fl4_problem> &problems, const fl4_bench_options *options = nullptr)
  {
    fl4_bench_options wanted = FL4_BENCH_OPTIONS_INIT;
    if (options) wanted = *options;
    if (wanted.max_samples == 0) wanted.max_samples = wanted.min_samples > 10000 ? wanted.min_samples : 10000;
    const std::size_t contenders = wanted.n_contenders > 0 ? static_cast<std::size_t>(wanted.n_contenders) : 1;
    const std::size_t most = wanted.max_samples > 0 ? static_cast<std::size_t>(wanted.max_samples) : 1;
    const std::size_t n = problems.size() * contenders;
    std::vector<fl4_bench_result> results(n, fl4_bench_result FL4_BENCH_RESULT_INIT);
    std::vector<bench_result> out(n);
    for (std::size_t i = 0; i < n; i++) {
      out[i].times.resize(most);
      results[i].samples = out[i].times.data();
      results[i].samples_size = static_cast<std::int64_t>(most);
    }
    const std::int64_t n_problems = static_cast<std::int64_t>(problems.size());
    const fl4_status status = fl4_bench(get(), problems.data(), n_problems, &wanted, results.data());
    if (status != FL4_CANCELLED) check_status(status);
    for (std::size_t i = 0; i < n; i++) {
      static_cast<fl4_bench_result &>(out[i]) = results[i];
      out[i].samples = nullptr;
      out[i].samples_size = 0;
      out[i].times.resize(static_cast<std::size_t>(results[i].stats.n));
      out[i].times.shrink_to_fit();
    }
    return out;
  }

  /** What there is to choose from for a problem, fl4_tune_space(). `family`: nullptr, or its name. */
  fl4_tune_space_info tune_space(const fl4_problem &problem, const char *family = nullptr)
  {
    fl4_tune_space_info info = FL4_TUNE_SPACE_INFO_INIT;
    check_status(fl4_tune_space(get(), &problem, family, &info));
    return info;
  }

  /**
   * Looks for the fastest variant for a problem, fl4_tune(); the context's wisdom learns it. A call that
   * `progress` cancelled returns what it has, and `stop` tells; `progress` must not throw.
   */
  tune_report tune(const fl4_problem &problem, const fl4_tune_options *options = nullptr)
  {
    const fl4_tune_space_info space = tune_space(problem, options ? options->family : nullptr);
    std::int64_t most = space.valid;
    if (options && options->max_evaluations > 0 && options->max_evaluations < most) most = options->max_evaluations;
    fl4_tune_report report = FL4_TUNE_REPORT_INIT;
    tune_report out{};
    out.tried.resize(static_cast<std::size_t>(most), fl4_tune_candidate FL4_TUNE_CANDIDATE_INIT);
    report.candidates = out.tried.data();
    report.candidates_size = most;
    const fl4_status status = fl4_tune(get(), &problem, options, &report);
    if (status != FL4_CANCELLED) check_status(status);
    out.tried.resize(static_cast<std::size_t>(report.n_candidates));
    out.tried.shrink_to_fit();
    static_cast<fl4_tune_report &>(out) = report;
    out.candidates = nullptr;
    out.candidates_size = 0;
    return out;
  }

  /** What would run for a problem, and on which evidence, fl4_wisdom_lookup(). */
  fl4_wisdom_entry wisdom_lookup(const fl4_problem &problem)
  {
    fl4_wisdom_entry entry = FL4_WISDOM_ENTRY_INIT;
    check_status(fl4_wisdom_lookup(get(), &problem, &entry));
    return entry;
  }

  /** All pieces of wisdom that the context holds, fl4_wisdom_get(). */
  std::vector<fl4_wisdom_entry> wisdom()
  {
    std::vector<fl4_wisdom_entry> out(fl4_wisdom_count(get()), fl4_wisdom_entry FL4_WISDOM_ENTRY_INIT);
    for (std::size_t i = 0; i < out.size(); i++) check_status(fl4_wisdom_get(get(), i, &out[i]));
    return out;
  }

  /** Adds a piece of wisdom by hand, fl4_wisdom_set(). */
  void wisdom_set(const fl4_problem &problem, const char *variant)
  {
    check_status(fl4_wisdom_set(get(), &problem, variant));
  }

  /** Reads a file of wisdom, fl4_wisdom_load(). */
  fl4_wisdom_counts wisdom_load(const char *file)
  {
    fl4_wisdom_counts counts = FL4_WISDOM_COUNTS_INIT;
    check_status(fl4_wisdom_load(get(), file, &counts));
    return counts;
  }

  /** Appends what the context has learnt to a file, fl4_wisdom_save(). nullptr: the user's file. */
  void wisdom_save(const char *file = nullptr) { check_status(fl4_wisdom_save(get(), file)); }

  /** Forgets all wisdom, fl4_wisdom_forget(). */
  void wisdom_forget() { check_status(fl4_wisdom_forget(get())); }

  /** What the device can do at most, fl4_bench_limits(). Takes some seconds. */
  fl4_limits limits()
  {
    fl4_limits limits = FL4_LIMITS_INIT;
    check_status(fl4_bench_limits(get(), &limits));
    return limits;
  }

  /** State of the device now, fl4_context_get_health(). */
  fl4_device_health health() const
  {
    fl4_device_health health = FL4_DEVICE_HEALTH_INIT;
    check_status(fl4_context_get_health(get(), &health));
    return health;
  }

  /** The context's device, fl4_context_get_device_info(). */
  fl4_device_info device_info() const
  {
    fl4_device_info info = FL4_DEVICE_INFO_INIT;
    check_status(fl4_context_get_device_info(get(), &info));
    return info;
  }

  /** State of the cubin cache, fl4_context_get_cache_info(). */
  fl4_cache_info cache_info() const
  {
    fl4_cache_info info = FL4_CACHE_INFO_INIT;
    check_status(fl4_context_get_cache_info(get(), &info));
    return info;
  }

  /** The C context, which stays this object's. */
  fl4_context *get() const noexcept { return handle_.get(); }

private:
  struct destroy {
    void operator()(fl4_context *ctx) const noexcept { fl4_context_destroy(&ctx); }
  };

  void open(const fl4_context_options &options)
  {
    fl4_context *ctx = nullptr;
    check_status(fl4_context_create(&ctx, &options));
    handle_.reset(ctx);
  }

  std::unique_ptr<fl4_context, destroy> handle_;
};

} // namespace fl4

#endif /* FLASHL4_HPP */
