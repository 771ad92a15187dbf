// Rows that lie further from a view's address than 32 bits count: in 6 GiB of a device's memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <thread>

#include "chunkkv/kernels/cuda.h"
#include "tests/gpu/device_request.h"
#include "tests/gpu/draw.h"
#include "tests/gpu/large_prompt.h"
#include "tests/unit/kernels/agreement.h"

namespace chunkkv::testing {
namespace {

constexpr size_t kCacheBytes = size_t{6} << 30;
constexpr int64_t kTokens = 8192 + 5;
constexpr int32_t kBlockTokens = 16;

// K and V of one layer in one allocation; block ids lie on the host.
struct Places {
  RowsView keys;
  RowsView values;
};

class LargeOffsetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    compactor_ = MakeCudaCompactor(0).value();
    memory_ = MakeCudaMemory(0).value();
    stream_ = memory_->CreateStream().value();
    const auto cache = memory_->Allocate(kCacheBytes);
    if (!cache.ok()) GTEST_SKIP() << "6 GiB are not free: " << cache.status();
    cache_ = static_cast<std::byte*>(*cache);
    LargeOptions options;
    options.token_count = kTokens;
    options.layer_count = 1;
    prompt_ = std::make_unique<LargePrompt>(options, draw_);
    CompactionSpec spec;
    spec.policy = Policy::kChunkKv;
    spec.keep_ratio = 0.4;
    plan_ = MakePlan(spec, prompt_->shape()).value();
  }
  void TearDown() override {
    memory_->Free(cache_);
    memory_->DestroyStream(stream_);
  }

  // Views of the cache like the prompt's, of other strides.
  Places Strided(int64_t token_stride, int64_t head_stride, int64_t to_values) const {
    Places places = {prompt_->layers()[0].keys, prompt_->layers()[0].values};
    places.keys.data = cache_;
    places.values.data = cache_ + to_values;
    for (RowsView* rows : {&places.keys, &places.values}) {
      rows->token_stride_bytes = token_stride;
      rows->head_stride_bytes = head_stride;
      rows->block_ids = nullptr;
      rows->place = memory_->Place();
    }
    return places;
  }

  // Blocks [2, tokens, heads, size] spread over the whole cache, in the order of `ids`.
  Places Paged(std::vector<int32_t>& ids) {
    const RowsView& keys = prompt_->layers()[0].keys;
    const int64_t half = kBlockTokens * keys.token_stride_bytes;
    Places places = Strided(keys.token_stride_bytes, keys.head_stride_bytes, half);
    const auto block_count = static_cast<int32_t>(kCacheBytes / (2 * half));
    ids.resize((kTokens + kBlockTokens - 1) / kBlockTokens);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>((i + 1) * block_count / ids.size()) - 1;
    std::shuffle(ids.begin(), ids.end(), draw_.random());
    for (RowsView* rows : {&places.keys, &places.values}) {
      rows->block_ids = ids.data();
      rows->block_token_count = kBlockTokens;
      rows->block_count = block_count;
      rows->block_stride_bytes = 2 * half;
    }
    return places;
  }

  template <typename Visit>
  void ForEachHead(const RowsView& rows, int64_t token_count, Visit visit) {
    const size_t head_bytes = DTypeSize(rows.dtype) * rows.head_size;
    for (int64_t token = 0; token < token_count; ++token) {
      for (int64_t head = 0; head < rows.head_count; ++head) visit(token, head, head_bytes);
    }
  }

  void Upload(const RowsView& from, const RowsView& to) {
    ForEachHead(from, from.token_count, [&](int64_t token, int64_t head, size_t bytes) {
      std::byte* at = const_cast<std::byte*>(to.data) + HeadOffset(to, token, head);
      ASSERT_TRUE(memory_->CopyAsync(at, from.data + HeadOffset(from, token, head), bytes, stream_).ok());
    });
    ASSERT_TRUE(memory_->Synchronize(stream_).ok());
  }

  // Dense rows [count, heads, size] from the cache.
  std::vector<std::byte> Download(const RowsView& from, int64_t count) {
    std::vector<std::byte> rows;
    ForEachHead(from, count, [&](int64_t token, int64_t head, size_t bytes) {
      rows.resize(rows.size() + bytes);
      const std::byte* at = from.data + HeadOffset(from, token, head);
      ASSERT_TRUE(memory_->CopyAsync(rows.data() + rows.size() - bytes, at, bytes, stream_).ok());
      ASSERT_TRUE(memory_->Synchronize(stream_).ok());
    });
    return rows;
  }

  // Compacts the prompt where `places` are, against the CPU where it came from.
  CompactionOutcome ExpectAgreesAt(Places places) {
    const LayerInput& host = prompt_->layers()[0];
    Upload(host.keys, places.keys);
    Upload(host.values, places.values);
    ExecutionContext on_all_cores;
    on_all_cores.run_parallel = OnThreads(static_cast<int>(std::thread::hardware_concurrency()));
    const CompactionOutcome truth = Compact(*MakeCpuCompactor(), plan_, prompt_->layers(), on_all_cores);
    DeviceMirror inputs(*memory_, stream_);
    std::vector<LayerInput> layers = prompt_->OnDevice(inputs, memory_->Place());
    for (RowsView* rows : {&places.keys, &places.values}) {
      if (!rows->IsPaged()) continue;
      rows->block_ids = inputs.In(rows->block_ids, (kTokens + kBlockTokens - 1) / kBlockTokens * sizeof(int32_t));
    }
    layers[0].keys = places.keys;
    layers[0].values = places.values;
    DeviceRequest request(*compactor_, *memory_, plan_, layers);
    const absl::Status started = request.Start();
    EXPECT_TRUE(started.ok()) << started;
    CompactionOutcome outcome = request.Finish();
    const auto tolerance = [this](int32_t) { return 2 * prompt_->TieTolerance(); };  // of both, which are float32
    ExpectAgrees(plan_, prompt_->layers(), tolerance, truth, outcome);
    return outcome;
  }

  // Scatters dense `rows` into `places` of the cache and reads them from there.
  void ExpectScattered(const std::vector<std::byte>& rows, const RowsView& cache) {
    std::vector<int32_t> positions(plan_.budget);
    std::iota(positions.begin(), positions.end(), 0);
    DeviceMirror inputs(*memory_, stream_);
    ScatterTask task;
    task.source = inputs.In(rows.data(), rows.size());
    task.positions = {inputs.In(positions.data(), positions.size() * sizeof(int32_t)), positions.size()};
    MutableRowsView& to = task.destination;
    to = {const_cast<std::byte*>(cache.data),
          cache.dtype,
          cache.token_count,
          cache.head_count,
          cache.head_size,
          cache.token_stride_bytes,
          cache.head_stride_bytes,
          cache.place,
          nullptr,
          cache.block_token_count,
          cache.block_count,
          cache.block_stride_bytes};
    to.block_ids = inputs.In(cache.block_ids, (kTokens + kBlockTokens - 1) / kBlockTokens * sizeof(int32_t));
    Batch batch;
    batch.scatter = absl::MakeConstSpan(&task, 1);
    ExecutionContext context;
    context.stream = stream_;
    context.failure = static_cast<uint64_t*>(memory_->AllocatePinned(sizeof(uint64_t)).value());
    *context.failure = kNoFailure;
    const size_t workspace_bytes = compactor_->WorkspaceBytes(plan_, batch);
    ASSERT_EQ(workspace_bytes, 0u) << "scattering needs none";
    const absl::Status started = compactor_->Enqueue(plan_, batch, {}, context);
    const absl::Status done = compactor_->Wait(context);
    memory_->FreePinned(context.failure);
    ASSERT_TRUE(started.ok() && done.ok()) << started << done;
    EXPECT_TRUE(Download(cache, plan_.budget) == rows);
  }

  const LargePrompt& prompt() const { return *prompt_; }

 private:
  Draw draw_{2};
  std::unique_ptr<Compactor> compactor_;
  std::unique_ptr<DeviceMemory> memory_;
  void* stream_ = nullptr;
  std::byte* cache_ = nullptr;
  std::unique_ptr<LargePrompt> prompt_;
  Plan plan_;
};

TEST_F(LargeOffsetTest, PagedRowsAreReadAndWritten) {
  std::vector<int32_t> ids;
  const Places places = Paged(ids);
  const CompactionOutcome outcome = ExpectAgreesAt(places);
  ASSERT_FALSE(HasFatalFailure());
  std::reverse(ids.begin(), ids.end());
  ExpectScattered(outcome.values[0], places.keys);
}

TEST_F(LargeOffsetTest, TokensFarApartAreRead) {
  const int64_t token_stride = kCacheBytes / kTokens / 256 * 256;
  const int64_t head_stride = prompt().layers()[0].keys.head_stride_bytes;
  ExpectAgreesAt(Strided(token_stride, head_stride, token_stride / 2));
}

TEST_F(LargeOffsetTest, HeadsFarApartAreRead) {
  const int64_t head_bytes = prompt().layers()[0].keys.head_stride_bytes;  // of one token
  const int64_t head_stride = kCacheBytes / 8;
  ExpectAgreesAt(Strided(head_bytes, head_stride, head_stride / 2));
}

}  // namespace
}  // namespace chunkkv::testing
