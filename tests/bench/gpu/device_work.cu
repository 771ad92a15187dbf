#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "tests/bench/gpu/device_work.h"

namespace chunkkv::bench {
namespace {

constexpr int kThreads = 256;
constexpr int kMostBlocks = 4096;
constexpr int kCopyThreads = 128;

void Require(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "gpu_bench: %s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}

cudaStream_t StreamOf(void* stream) { return static_cast<cudaStream_t>(stream); }

int BlocksFor(int64_t count) {
  return static_cast<int>(std::clamp<int64_t>((count + kThreads - 1) / kThreads, 1, kMostBlocks));
}

// Source: splitmix64's finaliser.
__device__ uint64_t Hash(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// In (0, 1].
__device__ float Unit(uint32_t bits) { return (static_cast<float>(bits >> 8) + 1.0f) * 0x1p-24f; }

__device__ void Convert(float value, __half* to) { *to = __float2half_rn(value); }
__device__ void Convert(float value, __nv_bfloat16* to) { *to = __float2bfloat16_rn(value); }

template <typename Element>
__global__ void FillNormalKernel(Element* to, int64_t count, uint32_t seed) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    const uint64_t bits = Hash(uint64_t{seed} << 40 ^ static_cast<uint64_t>(i));
    const float radius = sqrtf(-2.0f * logf(Unit(static_cast<uint32_t>(bits))));
    Convert(radius * cospif(2.0f * Unit(static_cast<uint32_t>(bits >> 32))), to + i);
  }
}

__global__ void FillUniformKernel(float least, float most, float* to, int64_t count, uint32_t seed) {
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += int64_t{gridDim.x} * blockDim.x) {
    const uint64_t bits = Hash(uint64_t{seed} << 40 ^ static_cast<uint64_t>(i));
    to[i] = least + (most - least) * Unit(static_cast<uint32_t>(bits));
  }
}

__global__ void HoldKernel(uint64_t nanoseconds) {
  uint64_t begin = 0;
  uint64_t now = 0;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin));
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  } while (now - begin < nanoseconds);
}

struct EightByteTensor {
  const std::byte* from;
  std::byte* to;
};

struct EightByteParams {
  EightByteTensor keys;
  EightByteTensor values;
  const int32_t* positions;
  int32_t head_count;
  int32_t head_words;
  int64_t token_stride;
  int64_t head_stride;
  const int32_t* block_ids;
  int32_t block_token_count;
  int64_t block_stride;
};

__global__ void EightByteKernel(const __grid_constant__ EightByteParams params) {
  const EightByteTensor tensor = blockIdx.y == 0 ? params.keys : params.values;
  int32_t token = params.positions[blockIdx.x];
  const std::byte* from = tensor.from;
  if (params.block_ids != nullptr) {
    from += params.block_ids[token / params.block_token_count] * params.block_stride;
    token %= params.block_token_count;
  }
  from += token * params.token_stride;
  const int32_t row_words = params.head_count * params.head_words;
  auto* to = reinterpret_cast<uint64_t*>(tensor.to) + int64_t{blockIdx.x} * row_words;
  for (int32_t word = static_cast<int32_t>(threadIdx.x); word < row_words; word += kCopyThreads) {
    const std::byte* head = from + word / params.head_words * params.head_stride;
    to[word] = reinterpret_cast<const uint64_t*>(head)[word % params.head_words];
  }
}

}  // namespace

Event::Event() {
  cudaEvent_t event = nullptr;
  Require(cudaEventCreate(&event), "creating an event");
  event_ = event;
}

Event::~Event() { cudaEventDestroy(static_cast<cudaEvent_t>(event_)); }

void Event::Record(void* stream) {
  Require(cudaEventRecord(static_cast<cudaEvent_t>(event_), StreamOf(stream)), "recording an event");
}

double Event::MillisecondsBetween(const Event& begin, const Event& end) {
  float milliseconds = 0;
  Require(cudaEventSynchronize(static_cast<cudaEvent_t>(end.event_)), "what was timed");
  Require(
      cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(begin.event_), static_cast<cudaEvent_t>(end.event_)),
      "the time between two events");
  return milliseconds;
}

void FillNormal(DType dtype, void* to, int64_t count, uint32_t seed, void* stream) {
  if (dtype == DType::kF16) {
    FillNormalKernel<<<BlocksFor(count), kThreads, 0, StreamOf(stream)>>>(static_cast<__half*>(to), count, seed);
  } else {
    FillNormalKernel<<<BlocksFor(count), kThreads, 0, StreamOf(stream)>>>(static_cast<__nv_bfloat16*>(to), count, seed);
  }
  Require(cudaGetLastError(), "filling with normal numbers");
}

void FillUniform(float least, float most, float* to, int64_t count, uint32_t seed, void* stream) {
  FillUniformKernel<<<BlocksFor(count), kThreads, 0, StreamOf(stream)>>>(least, most, to, count, seed);
  Require(cudaGetLastError(), "filling with uniform numbers");
}

void Hold(double milliseconds, void* stream) {
  HoldKernel<<<1, 1, 0, StreamOf(stream)>>>(static_cast<uint64_t>(milliseconds * 1e6));
  Require(cudaGetLastError(), "holding a stream");
}

void EightByteCopy(const GatherTask& keys, const GatherTask& values, void* stream) {
  const RowsView& rows = keys.source;
  EightByteParams params;
  params.keys = {keys.source.data, keys.destination};
  params.values = {values.source.data, values.destination};
  params.positions = keys.positions.data();
  params.head_count = rows.head_count;
  params.head_words = static_cast<int32_t>(DTypeSize(rows.dtype) * rows.head_size / sizeof(uint64_t));
  params.token_stride = rows.token_stride_bytes;
  params.head_stride = rows.head_stride_bytes;
  params.block_ids = rows.block_ids;
  params.block_token_count = rows.block_token_count;
  params.block_stride = rows.block_stride_bytes;
  const dim3 grid(static_cast<unsigned>(keys.positions.size()), 2);
  EightByteKernel<<<grid, kCopyThreads, 0, StreamOf(stream)>>>(params);
  Require(cudaGetLastError(), "copying by eight bytes");
}

}  // namespace chunkkv::bench
