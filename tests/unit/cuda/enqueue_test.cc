// What the host does to start a batch: nothing is allocated, a handful of kernels, a small share of the KV as scratch.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "chunkkv/kernels/limits.h"
#include "kernels/cuda/cuda_compactor.h"
#include "tests/unit/cuda/forwarding_launcher.h"
#include "tests/unit/kernels/allocation_count.h"

namespace chunkkv::testing {
namespace {

struct Model {
  const char* name;
  int32_t layer_count;
  int32_t query_head_count;
  int32_t kv_head_count;
  int32_t key_head_size;
  int32_t value_head_size;
};
constexpr Model kLlama8b = {"llama8b", 32, 32, 8, 128, 128};
constexpr Model kLlama70b = {"llama70b", 80, 64, 8, 128, 128};
constexpr Model kSmallHeads = {"heads of 64", 32, 32, 8, 64, 64};
constexpr Model kLatent = {"latent", 61, 128, 1, 576, 0};

struct RequestOptions {
  int64_t token_count = 8192;
  ScoreSource source = ScoreSource::kQueryWindow;
  bool has_lse = true;
  bool has_sink_logits = false;
  bool is_sum = false;  // one list for all layers, chosen together
};

// A whole request: every layer scored, chosen for, gathered, its keys rotated, all scattered. The kernels do not run,
// so all tensors may be one small piece of memory.
class Request {
 public:
  Request(const Model& model, const RequestOptions& options) {
    CompactionShape shape;
    shape.token_count = options.token_count;
    shape.source = options.source;
    shape.has_lse = options.has_lse;
    AttentionShape layer;
    layer.query_head_count = model.query_head_count;
    layer.kv_head_count = model.kv_head_count;
    layer.key_head_size = model.key_head_size;
    layer.value_head_size = model.value_head_size;
    layer.dtype = DType::kBF16;
    if (options.has_sink_logits) layer.sink_logits.assign(model.query_head_count, 1.0f);
    shape.layers.assign(model.layer_count, layer);
    CompactionSpec spec;
    spec.policy = Policy::kChunkKv;
    spec.keep_ratio = 0.3;
    if (options.is_sum) spec.group_score = GroupScore::kSum;
    if (options.is_sum) spec.reuse_group = model.layer_count;
    plan_ = MakePlan(spec, shape).value();

    rope_.rotary_dims = model.key_head_size;
    rope_.inv_freq.assign(model.key_head_size / 2, 0.5);
    lists_.assign(model.layer_count, reinterpret_cast<const float*>(memory_));
    const RowsView rows =
        TokenMajorRows(memory_, DType::kBF16, options.token_count, model.kv_head_count, model.key_head_size);
    const RowsView kept = TokenMajorRows(memory_, DType::kBF16, plan_.budget, model.kv_head_count, model.key_head_size);
    const absl::Span<const int32_t> positions(reinterpret_cast<const int32_t*>(memory_), plan_.budget);
    for (int32_t i = 0; i < model.layer_count; ++i) {
      ScoreTask score;
      score.layer = i;
      score.keys = rows;
      score.queries = {memory_, DType::kBF16, {}};
      score.lse = options.has_lse ? reinterpret_cast<const float*>(memory_) : nullptr;
      score.attention = score.token_scores_in = {memory_, DType::kF32, {}};
      score.token_scores = reinterpret_cast<float*>(memory_);
      score_.push_back(score);
      gather_.push_back({rows, positions, memory_});
      gather_.push_back({rows, positions, memory_});
      rotate_.push_back({kept, positions, &rope_, memory_});
    }
    for (size_t g = 0; g < plan_.groups.size(); ++g) {
      const auto lists = absl::MakeConstSpan(lists_).subspan(g, options.is_sum ? model.layer_count : 1);
      select_.push_back({static_cast<int32_t>(g), plan_.budget, lists, reinterpret_cast<int32_t*>(memory_),
                         reinterpret_cast<double*>(memory_)});
    }
    for (int32_t i = 0; i < 2 * model.layer_count; ++i) {
      ScatterTask scatter;
      scatter.source = memory_;
      scatter.positions = positions;
      scatter.destination.data = memory_;
      scatter.destination.dtype = DType::kBF16;
      scatter.destination.token_count = options.token_count;
      scatter.destination.head_count = model.kv_head_count;
      scatter.destination.head_size = model.key_head_size;
      scatter.destination.token_stride_bytes = rows.token_stride_bytes;
      scatter.destination.head_stride_bytes = rows.head_stride_bytes;
      scatter_.push_back(scatter);
    }
  }

  const Plan& plan() const { return plan_; }
  // Score, select and gather: what a service does.
  Batch Compaction() const {
    Batch batch;
    batch.score = score_;
    batch.select = select_;
    batch.gather = gather_;
    return batch;
  }
  // And what a worker with an engine's cache does after it.
  Batch Everything() const {
    Batch batch = Compaction();
    batch.rotate = rotate_;
    batch.scatter = scatter_;
    return batch;
  }
  double KvBytes() const {
    const AttentionShape& layer = plan_.layers[0];
    return static_cast<double>(plan_.layers.size()) * static_cast<double>(plan_.token_count) * layer.kv_head_count *
           (layer.key_head_size + layer.value_head_size) * 2;
  }

 private:
  alignas(256) std::byte memory_[256] = {};
  Plan plan_;
  RopeShape rope_;
  std::vector<const float*> lists_;
  std::vector<ScoreTask> score_;
  std::vector<SelectTask> select_;
  std::vector<GatherTask> gather_;
  std::vector<RotateTask> rotate_;
  std::vector<ScatterTask> scatter_;
};

struct Started {
  absl::Status status;
  int allocations = 0;
  int launches = 0;
};

Started Start(const Plan& plan, const Batch& batch) {
  Started started;
  const auto compactor = cuda::MakeCompactor(MakeForwardingLauncher([&started](const LaunchSeen&) {
    ++started.launches;
    return nullptr;
  }));
  const size_t bytes = compactor->WorkspaceBytes(plan, batch);
  std::unique_ptr<std::byte[]> memory(new std::byte[bytes + 64]);
  std::byte* aligned = memory.get() + (64 - reinterpret_cast<uintptr_t>(memory.get()) % 64) % 64;
  uint64_t failure = kNoFailure;
  ExecutionContext context;
  context.failure = &failure;
  AllocationCount counting;
  started.status = compactor->Enqueue(plan, batch, absl::MakeSpan(aligned, bytes), context);
  if (started.status.ok()) started.status = compactor->Wait(context);
  started.allocations = counting.Stop();
  return started;
}

TEST(CudaEnqueueTest, AllocatesNothing) {
  for (const ScoreSource source : {ScoreSource::kQueryWindow, ScoreSource::kAttention, ScoreSource::kTokenScores}) {
    for (const bool has_lse : {false, true}) {
      for (const bool is_sum : {false, true}) {
        RequestOptions options;
        options.source = source;
        options.has_lse = has_lse && source == ScoreSource::kQueryWindow;
        options.has_sink_logits = true;
        options.is_sum = is_sum;
        const Request request(kLlama8b, options);
        const Started started = Start(request.plan(), request.Everything());
        EXPECT_TRUE(started.status.ok()) << started.status;
        EXPECT_GT(started.launches, 0);
        EXPECT_EQ(started.allocations, 0) << ScoreSourceName(source);
      }
    }
  }
}

// Layers are scored in as many rounds as the scratch needs: with heads of 128 and 128 rows of queries, 20 at once
// of 32.
TEST(CudaEnqueueTest, StartsAHandfulOfKernels) {
  for (const int64_t token_count : {8192, 32768, 131072}) {
    const auto launches = [&](const Model& model, bool has_lse) {
      RequestOptions options;
      options.token_count = token_count;
      options.has_lse = has_lse;
      const Request request(model, options);
      const Started started = Start(request.plan(), request.Compaction());
      EXPECT_TRUE(started.status.ok()) << started.status;
      return started.launches;
    };
    EXPECT_LE(launches(kLlama8b, true), 8);
    EXPECT_LE(launches(kLlama8b, false), 12);
    EXPECT_LE(launches(kSmallHeads, true), 12);
    EXPECT_LE(launches(kLlama70b, true), 16);
    EXPECT_LE(launches(kLlama70b, false), 24);
    EXPECT_LE(launches(kLatent, true), 6);
    EXPECT_LE(launches(kLatent, false), 32);  // 4096 rows share a head: their denominators are most
  }
}

TEST(CudaEnqueueTest, RotatesAndScattersInThreeMore) {
  const Request request(kLlama8b, {});
  const Started started = Start(request.plan(), request.Everything());
  ASSERT_TRUE(started.status.ok()) << started.status;
  EXPECT_LE(started.launches, 8 + 3);
}

// A task has nearly 2^27 items, of 16 rows each.
TEST(CudaEnqueueTest, CopiesOfMoreItemsThanALaunchCountsTakeSeveral) {
  RequestOptions options;
  options.token_count = kMaxTokenCount;
  const Request request(kLlama8b, options);
  std::vector<GatherTask> gather;
  for (const GatherTask& task : request.Compaction().gather) {
    gather.push_back(task);
    gather.back().positions = absl::MakeConstSpan(task.positions.data(), kMaxTokenCount);
  }
  int64_t items = 0;
  const auto compactor = cuda::MakeCompactor(MakeForwardingLauncher([&items](const LaunchSeen& launch) {
    EXPECT_LE(launch.block_count, INT32_MAX);
    items += launch.block_count;
    return nullptr;
  }));
  uint64_t failure = ~uint64_t{0};
  ExecutionContext context;
  context.failure = &failure;
  Batch batch;
  batch.gather = gather;
  ASSERT_TRUE(compactor->Enqueue(request.plan(), batch, {}, context).ok());
  EXPECT_TRUE(compactor->Wait(context).ok());
  EXPECT_EQ(items, static_cast<int64_t>(gather.size()) * ((kMaxTokenCount + 15) / 16));
}

TEST(CudaEnqueueTest, ScratchIsAHundredthOfTheKvAtMost) {
  const auto compactor = cuda::MakeCompactor(MakeForwardingLauncher([](const LaunchSeen&) { return nullptr; }));
  for (const Model& model : {kLlama8b, kLlama70b, kSmallHeads, kLatent}) {
    for (const int64_t token_count : {8192, 32768, 131072, 1048576}) {
      for (const bool has_lse : {true, false}) {
        for (const bool is_sum : {true, false}) {
          RequestOptions options;
          options.token_count = token_count;
          options.has_lse = has_lse;
          options.is_sum = is_sum;
          const Request request(model, options);
          const auto bytes = static_cast<double>(compactor->WorkspaceBytes(request.plan(), request.Everything()));
          EXPECT_LE(bytes, 0.01 * request.KvBytes()) << model.name << ", " << token_count << " tokens, LSE " << has_lse;
        }
      }
    }
  }
}

// One layer's arrays are the least: 4 bytes of partial scores beside 4 * D bytes of K and V for each 128 rows of
// queries. A model of one layer takes more than a hundredth, and so do windows of thousands of tokens.
TEST(CudaEnqueueTest, ScratchHoldsOneLayerAtLeast) {
  const auto compactor = cuda::MakeCompactor(MakeForwardingLauncher([](const LaunchSeen&) { return nullptr; }));
  for (const bool has_lse : {true, false}) {
    RequestOptions options;
    options.has_lse = has_lse;
    const Request request({"one layer", 1, 32, 8, 64, 64}, options);
    const auto bytes = static_cast<double>(compactor->WorkspaceBytes(request.plan(), request.Compaction()));
    EXPECT_LE(bytes, (has_lse ? 0.016 : 0.021) * request.KvBytes());
  }
}

}  // namespace
}  // namespace chunkkv::testing
