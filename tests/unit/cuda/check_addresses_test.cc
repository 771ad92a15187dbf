// A GPU traps on misaligned addresses, and takes the process with it: they are refused by name before a kernel starts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "chunkkv/kernels/status.h"
#include "tests/unit/cuda/agreement.h"
#include "tests/unit/cuda/aligned_bytes.h"

namespace chunkkv::testing {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kTokens = 40;
constexpr int32_t kWindow = 4;
constexpr int32_t kHeads = 2;
constexpr int32_t kHeadSize = 8;
constexpr int32_t kBlockTokens = 8;

// Moves an address; what follows it in its memory is large enough for what lies there.
template <typename T>
void Shift(T*& address, int64_t bytes) {
  address = reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(address) + bytes);
}

template <typename T>
void Shift(absl::Span<T>& span, int64_t bytes) {
  T* data = span.data();
  Shift(data, bytes);
  span = {data, span.size()};
}

// A batch with a task of each kind, aligned, in memory of zeros.
class Tasks {
 public:
  // `key_dtype` of keys that queries score; fp8 has scales.
  explicit Tasks(ScoreSource source, DType key_dtype = DType::kF16) {
    CompactionShape shape;
    shape.token_count = kTokens;
    shape.source = source;
    shape.has_lse = source == ScoreSource::kQueryWindow;
    AttentionShape layer;
    layer.query_head_count = layer.kv_head_count = kHeads;
    layer.key_head_size = layer.value_head_size = kHeadSize;
    layer.dtype = key_dtype;
    layer.has_key_scales = !IsScorable(key_dtype);
    shape.layers = {layer};
    plan = PlanFor(KeepByChunks(0.5, kWindow), shape);

    score.token_scores = New<float>(kTokens);
    if (source == ScoreSource::kAttention) score.attention = {New<std::byte>(8192), DType::kF16, {}};
    if (source == ScoreSource::kTokenScores) score.token_scores_in = {New<std::byte>(8192), DType::kF32, {}};
    if (source == ScoreSource::kQueryWindow) {
      score.keys = Paged(key_dtype, kHeadSize);
      if (layer.has_key_scales) score.key_scales = Paged(DType::kF32, 1);
      score.queries = {New<std::byte>(8192), DType::kF16, {}};
      score.lse = New<float>(kWindow * kHeads);
    }
    scores = {score.token_scores};
    select = {0, plan.budget, scores, New<int32_t>(plan.budget), New<double>(1)};
    gather = {Paged(DType::kF16, kHeadSize), {New<int32_t>(plan.budget), Budget()}, New<std::byte>(8192)};
    rope = {0, kHeadSize, false, {1, 0.5, 0.25, 0.125}};
    rotate = {TokenMajorRows(New<std::byte>(8192), DType::kF16, plan.budget, kHeads, kHeadSize),
              {New<int32_t>(plan.budget), Budget()},
              &rope,
              New<std::byte>(8192)};
    const RowsView pages = Paged(DType::kF16, kHeadSize);
    scatter.source = New<std::byte>(8192);
    scatter.positions = {New<int32_t>(plan.budget), Budget()};
    scatter.destination.data = New<std::byte>(8192);
    scatter.destination.dtype = pages.dtype;
    scatter.destination.token_count = kTokens;
    scatter.destination.head_count = kHeads;
    scatter.destination.head_size = kHeadSize;
    scatter.destination.token_stride_bytes = pages.token_stride_bytes;
    scatter.destination.head_stride_bytes = pages.head_stride_bytes;
    scatter.destination.block_ids = pages.block_ids;
    scatter.destination.block_token_count = pages.block_token_count;
    scatter.destination.block_count = pages.block_count;
    scatter.destination.block_stride_bytes = pages.block_stride_bytes;
    digest = {New<std::byte>(1000), 900, {}, New<uint64_t>(1)};
  }

  Batch batch() const {
    Batch batch;
    batch.score = absl::MakeConstSpan(&score, 1);
    batch.select = absl::MakeConstSpan(&select, 1);
    batch.gather = absl::MakeConstSpan(&gather, 1);
    batch.rotate = absl::MakeConstSpan(&rotate, 1);
    batch.scatter = absl::MakeConstSpan(&scatter, 1);
    batch.digest = absl::MakeConstSpan(&digest, 1);
    return batch;
  }

  Plan plan;
  std::vector<const float*> scores;
  RopeShape rope;
  ScoreTask score;
  SelectTask select;
  GatherTask gather;
  RotateTask rotate;
  ScatterTask scatter;
  DigestTask digest;

 private:
  size_t Budget() const { return static_cast<size_t>(plan.budget); }

  template <typename T>
  T* New(size_t count) {
    const size_t bytes = count * sizeof(T) + sizeof(uint64_t);
    T* begin = memory_.emplace_back(std::make_unique<AlignedBytes>(bytes))->As<T>();
    std::fill_n(reinterpret_cast<std::byte*>(begin), bytes, std::byte{0});
    return begin;
  }

  // Every block of tokens in block 0.
  RowsView Paged(DType dtype, int32_t head_size) {
    RowsView rows = TokenMajorRows(New<std::byte>(8192), dtype, kTokens, kHeads, head_size);
    rows.block_ids = New<int32_t>(kTokens / kBlockTokens);
    rows.block_token_count = kBlockTokens;
    rows.block_count = 1;
    rows.block_stride_bytes = kBlockTokens * rows.token_stride_bytes;
    return rows;
  }

  std::vector<std::unique_ptr<AlignedBytes>> memory_;
};

struct Row {
  const char* what;  // the field that is refused
  std::function<void(Tasks&)> misalign;
};

void ExpectRefused(Tasks&& tasks, const Row& row) {
  row.misalign(tasks);
  const absl::Status status = EmulatedDevice().Run(tasks.plan, tasks.batch());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << row.what;
  EXPECT_EQ(StatusReason(status), "MISALIGNED") << row.what << ": " << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(row.what) + " is not aligned to "));
}

TEST(CheckAddressesTest, RefusesWhatIsReadOrWrittenByElements) {
  const Row rows[] = {
      {"score[0].keys", [](Tasks& t) { Shift(t.score.keys.data, 1); }},
      {"score[0].keys (strides)", [](Tasks& t) { t.score.keys.token_stride_bytes += 1; }},
      {"score[0].keys (strides)", [](Tasks& t) { t.score.keys.head_stride_bytes -= 1; }},
      {"score[0].keys (strides)", [](Tasks& t) { t.score.keys.block_stride_bytes += 1; }},
      {"score[0].keys.block_ids", [](Tasks& t) { Shift(t.score.keys.block_ids, 2); }},
      {"score[0].queries", [](Tasks& t) { Shift(t.score.queries.data, 1); }},
      {"score[0].lse", [](Tasks& t) { Shift(t.score.lse, 2); }},
      {"score[0].token_scores", [](Tasks& t) { Shift(t.score.token_scores, 2); }},
      {"select[0].token_scores", [](Tasks& t) { Shift(t.scores[0], 1); }},
      {"select[0].positions", [](Tasks& t) { Shift(t.select.positions, 2); }},
      {"select[0].retained_mass", [](Tasks& t) { Shift(t.select.retained_mass, 4); }},
      {"gather[0].source.block_ids", [](Tasks& t) { Shift(t.gather.source.block_ids, 2); }},
      {"gather[0].positions", [](Tasks& t) { Shift(t.gather.positions, 2); }},
      {"rotate[0].source", [](Tasks& t) { Shift(t.rotate.source.data, 1); }},
      {"rotate[0].positions", [](Tasks& t) { Shift(t.rotate.positions, 2); }},
      {"rotate[0].destination", [](Tasks& t) { Shift(t.rotate.destination, 1); }},
      {"scatter[0].positions", [](Tasks& t) { Shift(t.scatter.positions, 2); }},
      {"scatter[0].destination.block_ids", [](Tasks& t) { Shift(t.scatter.destination.block_ids, 2); }},
      {"digest[0].block_digests", [](Tasks& t) { Shift(t.digest.block_digests, 4); }},
  };
  for (const Row& row : rows) ExpectRefused(Tasks(ScoreSource::kQueryWindow), row);
}

TEST(CheckAddressesTest, RefusesOtherSourcesOfScores) {
  ExpectRefused(Tasks(ScoreSource::kAttention),
                {"score[0].attention", [](Tasks& t) { Shift(t.score.attention.data, 1); }});
  ExpectRefused(Tasks(ScoreSource::kTokenScores),
                {"score[0].token_scores_in", [](Tasks& t) { Shift(t.score.token_scores_in.data, 2); }});
  const Row of_scales[] = {
      {"score[0].key_scales", [](Tasks& t) { Shift(t.score.key_scales.data, 2); }},
      {"score[0].key_scales (strides)", [](Tasks& t) { t.score.key_scales.token_stride_bytes = 2; }},
      {"score[0].key_scales.block_ids", [](Tasks& t) { Shift(t.score.key_scales.block_ids, 1); }},
  };
  for (const Row& row : of_scales) ExpectRefused(Tasks(ScoreSource::kQueryWindow, DType::kF8E4M3), row);
}

TEST(CheckAddressesTest, RefusesTheWordForFailures) {
  Tasks tasks(ScoreSource::kQueryWindow);
  const EmulatedDevice device;
  GuardedWorkspace workspace(device.compactor(), tasks.plan, tasks.batch());
  uint64_t words[2] = {kNoFailure, kNoFailure};
  ExecutionContext context;
  context.failure = words;
  Shift(context.failure, 4);
  const absl::Status status = device.compactor().Enqueue(tasks.plan, tasks.batch(), workspace.Span(), context);
  EXPECT_EQ(StatusReason(status), "MISALIGNED");
  EXPECT_THAT(std::string(status.message()), HasSubstr("context.failure"));
}

// The emulation ends the program at an access that is not aligned.
TEST(CheckAddressesTest, TakesTheLeastAlignment) {
  const Row rows[] = {
      {"nothing moved", [](Tasks&) {}},
      {"elements of 2 bytes",
       [](Tasks& t) {
         Shift(t.score.keys.data, 2);
         Shift(t.score.queries.data, 2);
         Shift(t.rotate.source.data, 2);
         Shift(t.rotate.destination, 2);
       }},
      {"elements of 4 bytes",
       [](Tasks& t) {
         Shift(t.score.keys.block_ids, 4);
         Shift(t.score.lse, 4);
         Shift(t.score.token_scores, 4);
         Shift(t.scores[0], 4);
         Shift(t.select.positions, 4);
         Shift(t.gather.positions, 4);
         Shift(t.gather.source.block_ids, 4);
         Shift(t.scatter.positions, 4);
       }},
      {"bytes",
       [](Tasks& t) {
         Shift(t.gather.source.data, 1);
         Shift(t.gather.destination, 1);
         Shift(t.scatter.source, 1);
         Shift(t.scatter.destination.data, 1);
         Shift(t.digest.data, 1);
       }},
      {"what the plan's score source does not name",
       [](Tasks& t) {
         t.score.attention = {t.digest.data + 1, DType::kF16, {}};
         t.score.token_scores_in = {t.digest.data + 1, DType::kF32, {}};
       }},
      {"strides that nothing uses",
       [](Tasks& t) {
         t.gather.source.head_stride_bytes = 1;
         t.scatter.destination.block_stride_bytes = 1;
       }},
  };
  for (const Row& row : rows) {
    Tasks tasks(ScoreSource::kQueryWindow);
    row.misalign(tasks);
    const absl::Status status = EmulatedDevice().Run(tasks.plan, tasks.batch());
    EXPECT_TRUE(status.ok()) << row.what << ": " << status;
  }
}

}  // namespace
}  // namespace chunkkv::testing
