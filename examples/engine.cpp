// SPDX-License-Identifier: Apache-2.0
// The loop of an inference engine: some layers of grouped-query attention, step after step, on one
// stream. On a GPU the layers are captured once into a CUDA graph and replayed; without one, or built
// without CUDA, the same loop runs on the host device.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include <flashl4/flashl4.hpp>

#if ENGINE_CUDA
#include <cuda_runtime_api.h>
#endif

namespace {

using element = std::uint16_t; // bfloat16

#if ENGINE_CUDA
void cuda(cudaError_t status)
{
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}
#endif

// Memory of the engine's device.
class buffer {
public:
  buffer(std::size_t n, bool gpu) : n_(n), gpu_(gpu)
  {
    if (!gpu) data_ = {new element[n](), [](element *p) { delete[] p; }};
#if ENGINE_CUDA
    void *memory = nullptr;
    if (gpu) cuda(cudaMalloc(&memory, n * sizeof(element)));
    if (gpu) data_ = {static_cast<element *>(memory), [](element *p) { cudaFree(p); }};
#endif
  }

  element *get() const
  {
    return data_.get();
  }

  void upload(const std::vector<element> &from)
  {
    copy(data_.get(), from.data());
  }

  std::vector<element> download() const
  {
    std::vector<element> to(n_);
    copy(to.data(), data_.get());
    return to;
  }

private:
  void copy(element *to, const element *from) const
  {
    if (!gpu_) std::memcpy(to, from, n_ * sizeof(element));
#if ENGINE_CUDA
    if (gpu_) cuda(cudaMemcpy(to, from, n_ * sizeof(element), cudaMemcpyDefault));
#endif
  }

  std::size_t n_;
  bool gpu_;
  std::unique_ptr<element, void (*)(element *)> data_{nullptr, [](element *) {}};
};

// Small numbers that differ from tensor to tensor.
std::vector<element> numbers(std::size_t n, unsigned seed)
{
  std::vector<element> out(n);
  for (element &x : out) {
    seed = seed * 1664525u + 1013904223u;
    const float value = static_cast<float>(seed >> 20) / 2048.0f - 1.0f;
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    x = static_cast<element>(bits >> 16);
  }
  return out;
}

struct model {
  unsigned layers, steps;
  std::int64_t B, Hq, Hkv, S, D;

  std::size_t q_size() const { return static_cast<std::size_t>(B * Hq * S * D); }
  std::size_t kv_size() const { return static_cast<std::size_t>(B * Hkv * S * D); }
};

class engine {
public:
  engine(fl4::context &ctx, const model &m, bool gpu) : ctx_(ctx), output_(m.q_size(), gpu)
  {
    buffer *input = &tensor(numbers(m.q_size(), 1), gpu);
    for (unsigned layer = 0; layer < m.layers; layer++) {
      fl4_attention_args args = FL4_ATTENTION_ARGS_INIT;
      args.dtype = FL4_DTYPE_BF16;
      args.mask = FL4_MASK_CAUSAL;
      args.B = m.B, args.Hq = m.Hq, args.Hkv = m.Hkv, args.Sq = m.S, args.Sk = m.S, args.D = m.D;
      args.q = input->get(); // a real model has a projection between two layers
      args.k = tensor(numbers(m.kv_size(), 2 + 2 * layer), gpu).get();
      args.v = tensor(numbers(m.kv_size(), 3 + 2 * layer), gpu).get();
      const bool last = layer + 1 == m.layers;
      if (!last) input = &tensor(numbers(m.q_size(), 0), gpu);
      args.o = last ? output_.get() : input->get();
      layers_.push_back(args);
      ctx_.prepare(args); // compiles now, so that no step has to, and so that a graph can be captured
    }
  }

  // One step: every layer once, one behind the other on the stream.
  void step(fl4_stream stream)
  {
    for (const fl4_attention_args &args : layers_) ctx_.forward(args, stream);
  }

  std::vector<element> output() const { return output_.download(); }
  void forget_output() { output_.upload(std::vector<element>(output_.download().size())); }
  const char *variant() { return (plan_ = ctx_.plan_info(layers_[0])).variant; }

private:
  buffer &tensor(const std::vector<element> &data, bool gpu)
  {
    tensors_.push_back(std::make_unique<buffer>(data.size(), gpu));
    tensors_.back()->upload(data);
    return *tensors_.back();
  }

  fl4::context &ctx_;
  buffer output_;
  std::vector<std::unique_ptr<buffer>> tensors_;
  std::vector<fl4_attention_args> layers_;
  fl4_plan_info plan_ = FL4_PLAN_INFO_INIT;
};

void run_host(engine &e, unsigned steps)
{
  for (unsigned i = 0; i < steps; i++) e.step(nullptr);
}

#if ENGINE_CUDA
void run_gpu(engine &e, unsigned steps)
{
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  cuda(cudaStreamCreate(&stream));
  cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  e.step(stream);
  cuda(cudaStreamEndCapture(stream, &graph));
  cuda(cudaGraphInstantiate(&exec, graph, 0));
  for (unsigned i = 0; i < steps; i++) cuda(cudaGraphLaunch(exec, stream));
  cuda(cudaStreamSynchronize(stream));
  cuda(cudaGraphExecDestroy(exec));
  cuda(cudaGraphDestroy(graph));
  cuda(cudaStreamDestroy(stream));
}
#endif

bool run()
{
#if ENGINE_CUDA
  fl4::context ctx; // the best device there is
#else
  fl4::context ctx("host");
#endif
  const fl4_device_info device = ctx.device_info();
  const bool gpu = device.kind == FL4_DEVICE_CUDA;
  const model m = gpu ? model{8, 20, 1, 32, 8, 2048, 128} : model{3, 2, 1, 8, 2, 256, 64};
  engine e(ctx, m, gpu);

  e.step(nullptr); // once directly
  const std::vector<element> direct = e.output();
  e.forget_output();

  const auto start = std::chrono::steady_clock::now();
#if ENGINE_CUDA
  if (gpu) run_gpu(e, m.steps);
#endif
  if (!gpu) run_host(e, m.steps);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;

  const bool same = e.output() == direct;
  std::printf("%s, %s: %u steps of %u layers, %.2f ms a step%s; results %s\n", device.name, e.variant(), m.steps,
              m.layers, took.count() / m.steps, gpu ? " (capture included)" : "",
              same ? "equal the direct run's" : "DIFFER from the direct run's");
  return same;
}

} // namespace

int main()
{
  try {
    return run() ? 0 : 1;
  } catch (const std::exception &failure) {
    std::fprintf(stderr, "engine: %s\n", failure.what());
    return 1;
  }
}
