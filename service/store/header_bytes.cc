#include "service/store/header_bytes.h"

#include "service/store/prefix_index.h"

namespace chunkkv {
namespace {

// What the index takes of an entry beside headers and prompts: nodes of maps, the StoredEntry, its tenant and key.
constexpr int64_t kIndexBytes = 1024;

template <typename T>
int64_t HeapBytes(const std::vector<T>& values) {
  return static_cast<int64_t>(values.capacity() * sizeof(T));
}

int64_t HeapBytes(const std::string& text) { return text.capacity() > 15 ? static_cast<int64_t>(text.capacity()) : 0; }

int64_t ModelBytes(const ModelIdentity& model) {
  int64_t bytes = HeapBytes(model.name) + HeapBytes(model.revision) + HeapBytes(model.kv_dtype) +
                  HeapBytes(model.quantization) + HeapBytes(model.rope) + HeapBytes(model.adapters);
  for (const auto& adapter : model.adapters) bytes += HeapBytes(adapter.name) + HeapBytes(adapter.revision);
  for (const auto& [key, value] : model.extra) bytes += 128 + HeapBytes(key) + HeapBytes(value);
  return bytes;
}

int64_t LayoutBytes(const Layout& layout) {
  int64_t bytes = HeapBytes(layout);
  for (const LayerRun& run : layout) {
    bytes += HeapBytes(run.named_tensors);
    for (const NamedTensor& tensor : run.named_tensors) bytes += HeapBytes(tensor.name);
    if (!run.attention.has_value()) continue;
    bytes += HeapBytes(run.attention->sink_logits);
    if (run.attention->rope.has_value()) bytes += HeapBytes(run.attention->rope->inv_freq);
  }
  return bytes;
}

}  // namespace

int64_t HeaderBytes(const EntryHeader& header) {
  int64_t bytes = static_cast<int64_t>(sizeof header) + HeapBytes(header.block_digests) + LayoutBytes(header.layout) +
                  HeapBytes(header.spec.chunk_starts) + HeapBytes(header.spec.groups) + HeapBytes(header.spec.label) +
                  HeapBytes(header.outcome.retained_mass) + HeapBytes(header.outcome.adjacent_jaccard) +
                  HeapBytes(header.groups) + HeapBytes(header.positions) + HeapBytes(header.row_counts) +
                  HeapBytes(header.tensors);
  if (header.tenant.has_value()) bytes += HeapBytes(*header.tenant);
  if (header.model.has_value()) bytes += ModelBytes(*header.model);
  for (const auto& positions : header.positions) bytes += HeapBytes(positions);
  for (const TensorSlot& slot : header.tensors) bytes += HeapBytes(slot.spec.name);
  return bytes;
}

int64_t OverheadBytes(int64_t header_bytes, int64_t card_bytes, size_t block_count) {
  return header_bytes + card_bytes + kIndexBytes + static_cast<int64_t>(block_count) * PrefixIndex::kNodeBytes;
}

}  // namespace chunkkv
