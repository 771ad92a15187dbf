#include "service/format/entry_header.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/format/digest.h"

namespace chunkkv {
namespace {

size_t Alignment(const TensorSpec& spec) { return spec.is_per_token() ? DTypeSize(spec.dtype) : 1; }

// Group of each attention layer. Empty where the groups do not cover them in order.
std::vector<size_t> GroupOfLayers(const std::vector<ReuseGroup>& groups, int32_t attention_layers) {
  std::vector<size_t> group_of;
  for (size_t group = 0; group < groups.size(); ++group) {
    const int32_t next = static_cast<int32_t>(group_of.size());
    if (groups[group].first_layer != next || groups[group].layer_count < 1 ||
        groups[group].layer_count > attention_layers - next) {
      return {};
    }
    group_of.insert(group_of.end(), groups[group].layer_count, group);
  }
  return group_of;
}

}  // namespace

int64_t EntryHeader::BodyBytes() const {
  return tensors.empty() ? PositionsBytes(row_counts, token_count) : tensors.back().offset + tensors.back().size_bytes;
}

const TensorSlot* EntryHeader::FindTensor(int32_t layer, TensorKind kind, std::string_view name) const {
  for (const TensorSlot& slot : tensors) {
    if (slot.spec.layer == layer && slot.spec.kind == kind && (kind != TensorKind::kNamed || slot.spec.name == name)) {
      return &slot;
    }
  }
  return nullptr;
}

int64_t PositionsBytes(const std::vector<int64_t>& row_counts, int64_t token_count) {
  int64_t bytes = 0;
  for (const int64_t rows : row_counts) bytes += rows == token_count ? 0 : rows * int64_t{sizeof(int32_t)};
  return bytes;
}

absl::StatusOr<std::vector<TensorSlot>> LayOutBody(const Layout& layout, const std::vector<ReuseGroup>& groups,
                                                   const std::vector<int64_t>& row_counts, int64_t positions_bytes) {
  const int32_t attention_layers = AttentionLayerCount(layout);
  const std::vector<size_t> group_of = GroupOfLayers(groups, attention_layers);
  if (group_of.size() != static_cast<size_t>(attention_layers) || row_counts.size() != groups.size()) {
    return InvalidArgument("BAD_GROUPS", absl::StrCat("groups and row counts must cover ", attention_layers,
                                                      " attention layers in order, without gaps"));
  }
  std::vector<TensorSlot> slots;
  slots.reserve(TensorCount(layout));
  size_t attention_index = 0;
  for (int32_t layer = 0; layer < LayerCount(layout); ++layer) {
    std::vector<TensorSpec> specs = LayerTensors(layout, layer);
    const bool is_attention = !specs.empty() && specs.front().is_per_token();
    const int64_t rows = is_attention ? row_counts[group_of[attention_index++]] : 0;
    if (rows < 0) return InvalidArgument("BAD_GROUPS", "a row count is negative");
    for (TensorSpec& spec : specs) {
      TensorSlot& slot = slots.emplace_back();
      slot.row_count = rows;
      slot.size_bytes = spec.size_bytes;
      if (is_attention && __builtin_mul_overflow(spec.row_bytes, rows, &slot.size_bytes)) {
        return InvalidArgument("SIZE_OVERFLOW", absl::StrCat("layer ", layer, ": bytes exceed 64 bits"));
      }
      slot.spec = std::move(spec);
    }
  }
  std::stable_sort(slots.begin(), slots.end(), [](const TensorSlot& left, const TensorSlot& right) {
    return Alignment(left.spec) > Alignment(right.spec);
  });
  int64_t offset = positions_bytes;
  for (TensorSlot& slot : slots) {
    slot.offset = offset;
    if (__builtin_add_overflow(offset, slot.size_bytes, &offset)) {
      return InvalidArgument("SIZE_OVERFLOW", "the body's bytes exceed 64 bits");
    }
  }
  return slots;
}

Bytes16 EntryDigest(const std::vector<TensorSlot>& tensors) {
  std::vector<Bytes16> digests;
  digests.reserve(tensors.size());
  for (const TensorSlot& slot : tensors) digests.push_back(slot.digest);
  return CombineDigests(digests);
}

}  // namespace chunkkv
