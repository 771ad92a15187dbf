#include "client/cli/prompt_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <set>
#include <string_view>

#include "chunkkv/kernels/status.h"
#include "client/cli/model_metadata.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxRecordHeadBytes = int64_t{64} << 20;

absl::Status Bad(const std::string& name, const std::string& text) {
  return InvalidArgument("BAD_INPUT_FILE", "tensor " + name.substr(0, 100) + " " + text);
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

std::string TensorName(int32_t layer, std::string_view name) {
  return "layers." + std::to_string(layer) + "." + std::string(name);
}

// Splits "layers.<l>.<name>"; false for any other form.
bool SplitName(std::string_view full, int64_t* layer, std::string_view* name) {
  constexpr std::string_view kPrefix = "layers.";
  if (full.substr(0, kPrefix.size()) != kPrefix) return false;
  full.remove_prefix(kPrefix.size());
  const auto [end, error] = std::from_chars(full.data(), full.data() + full.size(), *layer);
  const size_t digits = end - full.data();
  if (error != std::errc() || *layer < 0 || digits >= full.size() || full[digits] != '.') return false;
  if (digits > 1 && full[0] == '0') return false;
  *name = full.substr(digits + 1);
  return !name->empty();
}

const std::set<std::string_view> kAttentionNames = {"k", "v", "k_scale", "v_scale", "q", "lse", "attention", "scores"};

bool SameRun(const LayerRun& one, const LayerRun& other) {
  if (one.is_attention() != other.is_attention()) return false;
  if (!one.is_attention()) {
    return std::equal(
        one.named_tensors.begin(), one.named_tensors.end(), other.named_tensors.begin(), other.named_tensors.end(),
        [](const NamedTensor& a, const NamedTensor& b) { return a.name == b.name && a.size_bytes == b.size_bytes; });
  }
  const AttentionRun &a = *one.attention, &b = *other.attention;
  return a.query_head_count == b.query_head_count && a.kv_head_count == b.kv_head_count &&
         a.key_head_size == b.key_head_size && a.value_head_size == b.value_head_size && a.key_dtype == b.key_dtype &&
         a.value_dtype == b.value_dtype && a.scales.has_value() == b.scales.has_value() &&
         (!a.scales || (a.scales->scales_per_head == b.scales->scales_per_head && a.scales->dtype == b.scales->dtype));
}

// A per-token tensor [token_count, heads, size]; `heads` of 0 or a `token_count` of 0 takes any.
absl::Status CheckRows(const SafetensorsTensor& tensor, int64_t token_count, int64_t heads) {
  const bool is_right = tensor.shape.size() == 3 && tensor.shape[0] > 0 && tensor.shape[1] > 0 && tensor.shape[2] > 0 &&
                        tensor.shape[1] <= INT32_MAX && tensor.shape[2] <= INT32_MAX &&
                        (token_count == 0 || tensor.shape[0] == token_count) &&
                        (heads == 0 || tensor.shape[1] == heads);
  if (!is_right) {
    return Bad(tensor.name, "has shape " + ShapeText(tensor.shape) + ", expected [tokens, KV heads, head size]" +
                                (token_count == 0 ? "" : " of " + std::to_string(token_count) + " tokens") +
                                (heads == 0 ? "" : " and " + std::to_string(heads) + " heads"));
  }
  if (!DTypeFromName(tensor.dtype)) return Bad(tensor.name, "has dtype " + tensor.dtype);
  return absl::OkStatus();
}

// Query heads as the layer's queries or attention show them; 0 where there are none.
int32_t QueryHeadsOf(const LayerScores& scores) {
  const SafetensorsTensor* tensor = scores.queries != nullptr ? scores.queries : scores.attention;
  if (tensor == nullptr || tensor->shape.size() != 3) return 0;
  return static_cast<int32_t>(std::clamp<int64_t>(tensor->shape[scores.queries != nullptr ? 1 : 0], 0, INT32_MAX));
}

absl::StatusOr<ScaleShape> ReadScales(const SafetensorsTensor& tensor, int64_t token_count, int64_t heads) {
  CHUNKKV_RETURN_IF_ERROR(CheckRows(tensor, token_count, heads));
  const ScaleShape scales{static_cast<int32_t>(tensor.shape[2]), *DTypeFromName(tensor.dtype)};
  if (!IsScorable(scales.dtype)) return Bad(tensor.name, "must be F32, F16 or BF16");
  return scales;
}

}  // namespace

absl::StatusOr<PromptFile> PromptFile::Open(const std::string& path) {
  CHUNKKV_ASSIGN_OR_RETURN(SafetensorsFile mapped, SafetensorsFile::Open(path));
  PromptFile file(std::move(mapped));
  CHUNKKV_RETURN_IF_ERROR(file.ReadRecordHead(path));
  CHUNKKV_RETURN_IF_ERROR(file.ReadLayout());
  CHUNKKV_RETURN_IF_ERROR(ValidateLayout(file.layout_, LayoutLimits()));
  return file;
}

// A record's metadata says more than tensors can: its layout is taken as it stands.
absl::Status PromptFile::ReadRecordHead(const std::string& path) {
  const int64_t head_bytes = file_.header().body_offset;
  if (head_bytes > kMaxRecordHeadBytes + 8) return absl::OkStatus();
  std::vector<std::byte> head(head_bytes);
  std::ifstream stream(path, std::ios::binary);
  if (!stream.read(reinterpret_cast<char*>(head.data()), head_bytes)) {
    return InvalidArgument("BAD_INPUT_FILE", "the file's head cannot be read");
  }
  auto record = DecodeRecordHead(head, head_bytes + file_.header().body_bytes);
  if (!record.ok()) {
    return StatusReason(record.status()) == "NOT_A_RECORD" ? absl::OkStatus() : record.status();
  }
  record_ = std::make_shared<const RecordHead>(*std::move(record));
  return absl::OkStatus();
}

absl::StatusOr<EntryHeader> PromptFile::VerifyRecord() const {
  RecordHead head = *record_;
  CHUNKKV_RETURN_IF_ERROR(LoadPositions(file_.body(), &head));
  CHUNKKV_RETURN_IF_ERROR(VerifyBody(head.header, file_.body()));
  return std::move(head.header);
}

absl::Status PromptFile::ReadLayout() {
  if (record_ != nullptr) {
    layout_ = record_->header.layout;
    token_count_ = record_->header.token_count;
    return absl::OkStatus();
  }
  CHUNKKV_ASSIGN_OR_RETURN(const ModelMetadata model, ReadModelMetadata(metadata()));
  CHUNKKV_ASSIGN_OR_RETURN(const TensorsByLayer layers, SortTensors());
  int32_t known_query_heads = static_cast<int32_t>(model.sink_logits.size());
  for (const auto& [layer, tensors] : layers) {
    if (known_query_heads == 0) known_query_heads = QueryHeadsOf(ScoresOf(layer));
  }
  for (const auto& [layer, tensors] : layers) {
    if (layer != LayerCount(layout_)) {
      return InvalidArgument("BAD_INPUT_FILE", "layer " + std::to_string(LayerCount(layout_)) + " is missing");
    }
    LayerRun run{.first_layer = layer, .layer_count = 1, .attention = std::nullopt, .named_tensors = {}};
    CHUNKKV_ASSIGN_OR_RETURN(run.named_tensors, ReadNamedTensors(layer, tensors));
    if (Find(layer, "k") != nullptr) {
      CHUNKKV_ASSIGN_OR_RETURN(run.attention, ReadAttention(layer, model, known_query_heads));
    }
    if (!layout_.empty() && SameRun(layout_.back(), run)) {
      ++layout_.back().layer_count;
    } else {
      layout_.push_back(std::move(run));
    }
  }
  if (token_count_ == 0) return InvalidArgument("BAD_INPUT_FILE", "there is no tensor layers.<l>.k");
  return absl::OkStatus();
}

absl::StatusOr<PromptFile::TensorsByLayer> PromptFile::SortTensors() {
  TensorsByLayer layers;
  for (const SafetensorsTensor& tensor : file_.header().tensors) {
    int64_t layer = 0;
    std::string_view name;
    if (SplitName(tensor.name, &layer, &name)) {
      if (layer >= kMaxLayers) return Bad(tensor.name, "is of a layer above " + std::to_string(kMaxLayers - 1));
      layers[static_cast<int32_t>(layer)].emplace_back(name, &tensor);
    } else if (tensor.name == "chunk_starts") {
      if (tensor.dtype != "I32" || tensor.shape.size() != 1 || tensor.size_bytes == 0) {
        return Bad(tensor.name, "must be a list of int32");
      }
      chunk_starts_.resize(tensor.size_bytes / sizeof(int32_t));
      std::memcpy(chunk_starts_.data(), Bytes(tensor).data(), tensor.size_bytes);
    } else {
      return Bad(tensor.name, "is not one of layers.<l>.<name> and chunk_starts");
    }
  }
  return layers;
}

// Empty for an ATTENTION layer.
absl::StatusOr<std::vector<NamedTensor>> PromptFile::ReadNamedTensors(int32_t layer,
                                                                      const NamedPointers& tensors) const {
  const bool is_attention = Find(layer, "k") != nullptr;
  std::vector<NamedTensor> named;
  for (const auto& [name, tensor] : tensors) {
    const bool belongs_to_attention = kAttentionNames.count(name) > 0;
    if (is_attention && !belongs_to_attention) return Bad(tensor->name, "has no meaning beside .k");
    if (is_attention) continue;
    if (belongs_to_attention) return Bad(tensor->name, "is there without .k");
    if (tensor->dtype != "U8") return Bad(tensor->name, "is of a layer without .k and must be U8");
    named.push_back({std::string(name), tensor->size_bytes});
  }
  return named;
}

absl::StatusOr<AttentionRun> PromptFile::ReadAttention(int32_t layer, const ModelMetadata& model,
                                                       int32_t known_query_heads) {
  const SafetensorsTensor& keys = *Find(layer, "k");
  CHUNKKV_RETURN_IF_ERROR(CheckRows(keys, token_count_, 0));
  token_count_ = keys.shape[0];
  AttentionRun attention;
  attention.kv_head_count = static_cast<int32_t>(keys.shape[1]);
  attention.key_head_size = static_cast<int32_t>(keys.shape[2]);
  attention.key_dtype = attention.value_dtype = *DTypeFromName(keys.dtype);
  attention.scale = model.scale;
  attention.softcap = model.softcap;
  attention.sink_logits = model.sink_logits;
  attention.rope = model.rope;
  if (const SafetensorsTensor* values = Find(layer, "v")) {
    CHUNKKV_RETURN_IF_ERROR(CheckRows(*values, token_count_, attention.kv_head_count));
    attention.value_head_size = static_cast<int32_t>(values->shape[2]);
    attention.value_dtype = *DTypeFromName(values->dtype);
  }
  const SafetensorsTensor *key_scales = Find(layer, "k_scale"), *value_scales = Find(layer, "v_scale");
  if ((value_scales != nullptr) != (key_scales != nullptr && attention.value_head_size > 0)) {
    return Bad(TensorName(layer, "v_scale"), "must be there where .k_scale and .v are, and only there");
  }
  if (key_scales != nullptr) {
    CHUNKKV_ASSIGN_OR_RETURN(attention.scales, ReadScales(*key_scales, token_count_, attention.kv_head_count));
  }
  if (value_scales != nullptr) {
    CHUNKKV_ASSIGN_OR_RETURN(const ScaleShape same, ReadScales(*value_scales, token_count_, attention.kv_head_count));
    if (same.scales_per_head != attention.scales->scales_per_head || same.dtype != attention.scales->dtype) {
      return Bad(value_scales->name, "must be like .k_scale");
    }
  }
  // A layer that nobody scores does not say its query heads; those of the others will do.
  attention.query_head_count = QueryHeadsOf(ScoresOf(layer));
  if (attention.query_head_count == 0) {
    const bool fits = known_query_heads > 0 && known_query_heads % attention.kv_head_count == 0;
    attention.query_head_count = fits ? known_query_heads : attention.kv_head_count;
  }
  return attention;
}

const SafetensorsTensor* PromptFile::Find(int32_t layer, std::string_view name) const {
  return file_.header().Find(TensorName(layer, name));
}

void PromptFile::Release(const SafetensorsTensor& tensor) const {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto bytes = Bytes(tensor);
  const auto begin = (reinterpret_cast<uintptr_t>(bytes.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(bytes.data() + bytes.size()) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

LayerScores PromptFile::ScoresOf(int32_t layer) const {
  LayerScores scores;
  scores.queries = Find(layer, "q");
  scores.lse = Find(layer, "lse");
  scores.attention = Find(layer, "attention");
  scores.token_scores = Find(layer, "scores");
  if (scores.token_scores != nullptr) {
    scores.source = ScoreSource::kTokenScores;
  } else if (scores.attention != nullptr) {
    scores.source = ScoreSource::kAttention;
  } else if (scores.queries != nullptr) {
    scores.source = ScoreSource::kQueryWindow;
  }
  return scores;
}

absl::StatusOr<ScoreInputs> PromptFile::CheckScores(const std::vector<int32_t>& scored_layers,
                                                    int64_t window_length) const {
  const int64_t window = std::min(window_length, token_count_);
  ScoreInputs common;
  for (const int32_t layer : scored_layers) {
    const LayerScores scores = ScoresOf(layer);
    const AttentionRun& attention = *FindRun(layout_, layer)->attention;
    const auto expect = [&](const SafetensorsTensor& tensor, const std::vector<int64_t>& shape,
                            bool only_f32) -> absl::Status {
      if (tensor.shape != shape) {
        return Bad(tensor.name, "has shape " + ShapeText(tensor.shape) + ", expected " + ShapeText(shape) +
                                    " (window " + std::to_string(window_length) + ")");
      }
      const std::optional<DType> dtype = DTypeFromName(tensor.dtype);
      if (!dtype || !IsScorable(*dtype) || (only_f32 && *dtype != DType::kF32)) {
        return Bad(tensor.name, "has dtype " + tensor.dtype + ", expected F32" + (only_f32 ? "" : ", F16 or BF16"));
      }
      return absl::OkStatus();
    };
    const int given = (scores.queries != nullptr) + (scores.attention != nullptr) + (scores.token_scores != nullptr);
    if (given > 1)
      return InvalidArgument("MIXED_SCORES", "layer " + std::to_string(layer) + " has two sources of scores");
    DType dtype = DType::kF32;
    switch (scores.source) {
      case ScoreSource::kNone:
        return InvalidArgument("SCORES_MISSING", "layer " + std::to_string(layer) + " is scored and needs layers." +
                                                     std::to_string(layer) + ".q, .attention or .scores");
      case ScoreSource::kQueryWindow:
        CHUNKKV_RETURN_IF_ERROR(
            expect(*scores.queries, {window, attention.query_head_count, attention.key_head_size}, false));
        if (scores.lse != nullptr) {
          CHUNKKV_RETURN_IF_ERROR(expect(*scores.lse, {window, attention.query_head_count}, true));
        }
        dtype = *DTypeFromName(scores.queries->dtype);
        break;
      case ScoreSource::kAttention:
        CHUNKKV_RETURN_IF_ERROR(expect(*scores.attention, {attention.query_head_count, window, token_count_}, false));
        dtype = *DTypeFromName(scores.attention->dtype);
        break;
      case ScoreSource::kTokenScores:
        CHUNKKV_RETURN_IF_ERROR(
            expect(*scores.token_scores, {std::max<int64_t>(0, token_count_ - window_length)}, true));
        break;
    }
    const ScoreInputs own{scores.source, dtype, scores.lse != nullptr};
    if (common.source == ScoreSource::kNone) common = own;
    if (own.source != common.source || own.dtype != common.dtype || own.has_lse != common.has_lse) {
      return InvalidArgument(
          "MIXED_SCORES",
          "layer " + std::to_string(layer) + " has another source or dtype of scores than the scored layers before it");
    }
  }
  return common;
}

}  // namespace chunkkv::cli
