#include "tests/bench/kernels/prompt.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/common/half.h"

namespace chunkkv::bench {
namespace {

constexpr int32_t kQueryHeads = 32;
constexpr int32_t kKvHeads = 8;
constexpr int32_t kHeadSize = 128;

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

// Numbers in [-1, 1) from a linear congruential generator.
class Seeded {
 public:
  explicit Seeded(uint64_t seed) : state_(seed * 2654435761u + 1) {}
  float Next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<int32_t>(state_ >> 32)) * 0x1p-31f;
  }
  void Fill(DType dtype, std::vector<std::byte>& out) {
    for (size_t i = 0; i < out.size() / DTypeSize(dtype); ++i) StoreElement(2 * Next(), out.data(), dtype, i);
  }

 private:
  uint64_t state_;
};

Plan MakePlanOf(const PromptShape& shape) {
  AttentionShape layer;
  layer.query_head_count = kQueryHeads;
  layer.kv_head_count = kKvHeads;
  layer.key_head_size = layer.value_head_size = kHeadSize;
  layer.dtype = shape.dtype;
  CompactionShape compaction;
  compaction.token_count = shape.token_count;
  compaction.layers.assign(shape.layer_count, layer);
  compaction.source = ScoreSource::kQueryWindow;
  compaction.has_lse = shape.has_lse;
  CompactionSpec spec;
  spec.policy = Policy::kChunkKv;
  spec.keep_ratio = shape.keep_ratio;
  spec.window_length = shape.window_length;
  auto plan = MakePlan(spec, compaction);
  Require(plan.status());
  return *std::move(plan);
}

}  // namespace

Prompt::Prompt(const PromptShape& shape) : shape_(shape), plan_(MakePlanOf(shape)) {
  const size_t layers = shape.layer_count;
  layer_bytes_ = shape.token_count * kKvHeads * kHeadSize * DTypeSize(shape.dtype);
  keys_.assign(layers, std::vector<std::byte>(layer_bytes_));
  values_ = keys_;
  queries_.assign(layers,
                  std::vector<std::byte>(shape.window_length * kQueryHeads * kHeadSize * DTypeSize(shape.dtype)));
  lse_.assign(layers, std::vector<float>(shape.window_length * kQueryHeads, 10.0f));
  token_scores_.assign(layers, std::vector<float>(plan_.past_length));
  positions_.assign(layers, std::vector<int32_t>(plan_.budget));
  kept_.resize((KeptBytes() + sizeof(Line) - 1) / sizeof(Line));
  for (size_t layer = 0; layer < layers; ++layer) {
    Seeded seeded(layer + 1);
    seeded.Fill(shape.dtype, keys_[layer]);
    seeded.Fill(shape.dtype, values_[layer]);
    seeded.Fill(shape.dtype, queries_[layer]);
  }
}

std::string Prompt::Name() const {
  char name[128];
  std::snprintf(name, sizeof name, "%s/%lld/%g/%d/1/%s/%s", shape_.model.c_str(),
                static_cast<long long>(shape_.token_count), shape_.keep_ratio, shape_.window_length,
                shape_.head_major ? "head_major" : "token_major", DTypeName(shape_.dtype).data());
  return name;
}

double Prompt::ScoringFlops() const {
  return 2.0 * shape_.window_length * kQueryHeads * kHeadSize * static_cast<double>(shape_.token_count) *
         shape_.layer_count;
}

size_t Prompt::KeptBytes() const {
  return keys_.size() * 2 * plan_.budget * kKvHeads * kHeadSize * DTypeSize(shape_.dtype);
}

RowsView Prompt::Rows(const std::vector<std::byte>& data) const {
  const auto rows = shape_.head_major ? HeadMajorRows : TokenMajorRows;
  return rows(data.data(), shape_.dtype, shape_.token_count, kKvHeads, kHeadSize);
}

void Prompt::Run(const Compactor& compactor, bool score, bool select, bool gather, ExecutionContext context) {
  std::vector<ScoreTask> score_tasks;
  std::vector<SelectTask> select_tasks;
  std::vector<GatherTask> gather_tasks;
  std::vector<const float*> score_lists(keys_.size());
  std::byte* destination = kept();
  for (size_t layer = 0; layer < keys_.size(); ++layer) {
    const auto index = static_cast<int32_t>(layer);
    score_lists[layer] = token_scores_[layer].data();
    if (score) {
      score_tasks.push_back({index,
                             Rows(keys_[layer]),
                             {queries_[layer].data(), shape_.dtype, {}},
                             shape_.has_lse ? lse_[layer].data() : nullptr,
                             {},
                             {},
                             token_scores_[layer].data()});
    }
    if (select) {
      select_tasks.push_back(
          {index, plan_.budget, absl::MakeConstSpan(&score_lists[layer], 1), positions_[layer].data(), nullptr});
    }
    if (!gather) continue;
    for (const auto* rows : {&keys_[layer], &values_[layer]}) {
      gather_tasks.push_back({Rows(*rows), positions_[layer], destination});
      destination += kept_.size() / (2 * keys_.size());
    }
  }
  Batch batch;
  batch.score = score_tasks;
  batch.select = select_tasks;
  batch.gather = gather_tasks;
  const size_t bytes = compactor.WorkspaceBytes(plan_, batch);
  if (workspace_.size() < bytes + 64) workspace_.resize(bytes + 64);
  const size_t offset = (64 - reinterpret_cast<uintptr_t>(workspace_.data()) % 64) % 64;
  Require(compactor.Enqueue(plan_, batch, absl::MakeSpan(workspace_.data() + offset, bytes), context));
  Require(compactor.Wait(context));
}

}  // namespace chunkkv::bench
