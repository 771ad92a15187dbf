#include "tests/unit/session/put_prompt.h"

#include <algorithm>
#include <cstring>

#include "service/base/check.h"

namespace chunkkv {
namespace {

Bytes RandomValues(DType dtype, int64_t count, std::mt19937& random) {
  Bytes bytes(count * DTypeSize(dtype));
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < count; ++i) {
    const float value = normal(random);
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    uint16_t half = static_cast<uint16_t>(bits >> 16);                                     // bf16 by truncation
    if (dtype == DType::kF16) half = static_cast<uint16_t>(0x3000 | (random() & 0x8fff));  // 0.125 to 4
    const auto byte = static_cast<uint8_t>(random());
    switch (DTypeSize(dtype)) {
      case 4:
        std::memcpy(bytes.data() + i * 4, &value, 4);
        break;
      case 2:
        std::memcpy(bytes.data() + i * 2, &half, 2);
        break;
      default:
        std::memcpy(bytes.data() + i, &byte, 1);
    }
  }
  return bytes;
}

// Not negative: probabilities, scores.
Bytes RandomPositive(DType dtype, int64_t count, std::mt19937& random) {
  Bytes bytes = RandomValues(dtype, count, random);
  const auto size = static_cast<int64_t>(DTypeSize(dtype));
  for (int64_t i = 0; i < count; ++i) bytes[i * size + size - 1] &= std::byte{0x7f};  // the sign bit
  return bytes;
}

int32_t QueryHeads(const AttentionRun& attention) {
  return attention.query_head_count == 0 ? attention.kv_head_count : attention.query_head_count;
}

}  // namespace

AttentionRun SmallAttention(DType dtype) {
  AttentionRun attention;
  attention.query_head_count = 4;
  attention.kv_head_count = 2;
  attention.key_head_size = 8;
  attention.value_head_size = 4;
  attention.key_dtype = dtype;
  attention.value_dtype = dtype;
  return attention;
}

LayerRun AttentionLayers(int32_t first_layer, int32_t layer_count, const AttentionRun& attention) {
  LayerRun run;
  run.first_layer = first_layer;
  run.layer_count = layer_count;
  run.attention = attention;
  return run;
}

LayerRun VerbatimLayers(int32_t first_layer, int32_t layer_count) {
  LayerRun run;
  run.first_layer = first_layer;
  run.layer_count = layer_count;
  run.named_tensors = {{"conv_state", 300}, {"ssm_state", 1001}};
  return run;
}

PutRequest SmallRequest() {
  PutRequest request;
  request.tenant = std::string("tenant");
  request.model.name = std::string("model");
  request.model.revision = std::string("1");
  request.model.kv_dtype = std::string("F32");
  request.model.rope = std::string("none");
  request.model.layer_count = 3;
  request.model.kv_head_count = 2;
  request.model.key_head_size = 8;
  request.model.value_head_size = 4;
  request.shard.layer_count = 3;
  request.shard.kv_head_count = 2;
  request.key[0] = 7;
  request.layout = {AttentionLayers(0, 3)};
  request.token_count = 96;
  request.spec.policy = Policy::kChunkKv;
  request.spec.max_tokens = 40;
  request.spec.window_length = 8;
  request.spec.chunk_length = 5;
  request.score_source = ScoreSource::kQueryWindow;
  return request;
}

Prompt MakePrompt(const PutRequest& request, uint32_t seed) {
  std::mt19937 random(seed);
  Prompt prompt;
  const int64_t tokens = request.token_count;
  const int64_t window = std::min<int64_t>(request.spec.window_length.value_or(32), tokens);
  for (int32_t layer = 0; layer < LayerCount(request.layout); ++layer) {
    PromptLayer made;
    for (const TensorSpec& spec : LayerTensors(request.layout, layer)) {
      made.tensors.push_back(spec.is_per_token()
                                 ? RandomValues(spec.dtype, tokens * spec.head_count * spec.head_size, random)
                                 : RandomValues(DType::kF8E4M3, spec.size_bytes, random));
    }
    const LayerRun& run = *FindRun(request.layout, layer);
    if (run.is_attention()) {
      const int64_t heads = QueryHeads(*run.attention);
      switch (request.score_source) {
        case ScoreSource::kNone:
          break;
        case ScoreSource::kQueryWindow:
          made.queries = RandomValues(request.score_dtype, window * heads * run.attention->key_head_size, random);
          // As large as the largest logits can be, so that every probability is finite.
          if (request.has_lse) made.lse = RandomPositive(DType::kF32, window * heads, random);
          break;
        case ScoreSource::kAttention:
          made.attention = RandomPositive(request.score_dtype, heads * window * tokens, random);
          break;
        case ScoreSource::kTokenScores:
          made.token_scores = RandomPositive(DType::kF32, tokens - window, random);
          break;
      }
    }
    prompt.push_back(std::move(made));
  }
  return prompt;
}

Bytes PartBytes(const TensorSpec& spec, const Bytes& tensor, int64_t begin, int64_t end, bool head_major) {
  const Bytes rows(tensor.begin() + begin * spec.row_bytes, tensor.begin() + end * spec.row_bytes);
  if (!head_major) return rows;
  const int64_t head_bytes = spec.row_bytes / spec.head_count;
  Bytes part(rows.size());
  for (int64_t row = 0; row < end - begin; ++row) {
    for (int64_t head = 0; head < spec.head_count; ++head) {
      std::memcpy(part.data() + (head * (end - begin) + row) * head_bytes,
                  rows.data() + row * spec.row_bytes + head * head_bytes, head_bytes);
    }
  }
  return part;
}

Plan PlanOfRequest(const PutRequest& request) {
  CompactionShape shape;
  shape.token_count = request.token_count;
  shape.source = request.score_source;
  shape.has_lse = request.has_lse;
  for (const LayerRun& run : request.layout) {
    if (!run.is_attention()) continue;
    AttentionShape layer;
    layer.query_head_count = QueryHeads(*run.attention);
    layer.kv_head_count = run.attention->kv_head_count;
    layer.key_head_size = run.attention->key_head_size;
    layer.value_head_size = run.attention->value_head_size;
    layer.dtype = run.attention->key_dtype;
    layer.softcap = run.attention->softcap;
    layer.sink_logits = run.attention->sink_logits;
    shape.layers.insert(shape.layers.end(), run.layer_count, layer);
  }
  auto plan = MakePlan(request.spec, shape);
  CHUNKKV_CHECK(plan.ok());
  return *plan;
}

Kept ReferenceKept(const PutRequest& request, const Prompt& prompt, int64_t budget) {
  const Plan plan = PlanOfRequest(request);
  Kept kept;
  kept.budget = budget == 0 ? plan.budget : budget;
  kept.masses.assign(plan.layers.size(), -1);
  std::vector<int32_t> layer_of;
  for (int32_t layer = 0; layer < LayerCount(request.layout); ++layer) {
    if (AttentionIndex(request.layout, layer) >= 0) layer_of.push_back(layer);
  }
  std::vector<std::vector<float>> scores(plan.layers.size());
  std::vector<ScoreTask> score_tasks;
  for (size_t i = 0; i < plan.layers.size(); ++i) {
    if (!plan.IsScored(static_cast<int32_t>(i))) continue;
    const PromptLayer& layer = prompt[layer_of[i]];
    const AttentionShape& shape = plan.layers[i];
    scores[i].resize(plan.past_length);
    ScoreTask task;
    task.layer = static_cast<int32_t>(i);
    task.keys = TokenMajorRows(layer.tensors[0].data(), shape.dtype, plan.token_count, shape.kv_head_count,
                               shape.key_head_size);
    task.queries = {layer.queries.data(), request.score_dtype, {}};
    task.lse = plan.has_lse ? reinterpret_cast<const float*>(layer.lse.data()) : nullptr;
    task.attention = {layer.attention.data(), request.score_dtype, {}};
    task.token_scores_in = {layer.token_scores.data(), DType::kF32, {}};
    task.token_scores = scores[i].data();
    score_tasks.push_back(task);
  }
  std::vector<std::vector<const float*>> chosen_by(plan.groups.size());
  std::vector<std::vector<double>> masses(plan.groups.size());
  std::vector<SelectTask> select_tasks;
  for (size_t group = 0; group < plan.groups.size(); ++group) {
    const ReuseGroup& reuse = plan.groups[group];
    for (int32_t layer = reuse.first_layer; layer < reuse.first_layer + reuse.layer_count; ++layer) {
      if (plan.IsScored(layer)) chosen_by[group].push_back(scores[layer].data());
    }
    masses[group].resize(chosen_by[group].size());
    kept.positions.emplace_back(kept.budget);
    SelectTask task;
    task.group = static_cast<int32_t>(group);
    task.budget = kept.budget;
    task.token_scores = chosen_by[group];
    task.positions = kept.positions[group].data();
    task.retained_mass = masses[group].data();
    select_tasks.push_back(task);
  }
  Batch batch;
  batch.score = score_tasks;
  batch.select = select_tasks;
  const auto compactor = MakeReferenceCompactor();
  std::vector<std::byte> workspace(compactor->WorkspaceBytes(plan, batch) + 64);
  void* aligned = workspace.data();
  size_t space = workspace.size();
  std::align(64, space - 63, aligned, space);
  ExecutionContext context;
  CHUNKKV_CHECK(compactor->Enqueue(plan, batch, absl::MakeSpan(static_cast<std::byte*>(aligned), space), context).ok());
  CHUNKKV_CHECK(compactor->Wait(context).ok());
  for (size_t group = 0; group < plan.groups.size(); ++group) {
    size_t next = 0;
    const ReuseGroup& reuse = plan.groups[group];
    for (int32_t layer = reuse.first_layer; layer < reuse.first_layer + reuse.layer_count; ++layer) {
      if (plan.IsScored(layer)) kept.masses[layer] = masses[group][next++];
    }
  }
  return kept;
}

}  // namespace chunkkv
