#include "service/transfer/served_layer.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/check.h"
#include "service/base/status_macros.h"

namespace chunkkv {
namespace {

std::string NameOf(const TensorSlot& slot) { return absl::StrCat("layers.", slot.spec.layer, ".", slot.spec.name); }

bool IsTokenRange(const EntryHeader& header, const ServeOptions& options) {
  return options.first_token != 0 || (options.token_count >= 0 && options.token_count != header.token_count);
}

int64_t ServedTokens(const EntryHeader& header, const ServeOptions& options) {
  return options.token_count < 0 ? header.token_count - options.first_token : options.token_count;
}

// Original positions of a group's rows.
std::vector<int32_t> PositionsOf(const EntryHeader& header, int32_t group, int64_t row_count) {
  if (!header.positions[group].empty()) return header.positions[group];
  std::vector<int32_t> identity(row_count);
  std::iota(identity.begin(), identity.end(), 0);
  return identity;
}

int32_t GroupOf(const EntryHeader& header, int32_t attention_layer) {
  for (size_t group = 0; group < header.groups.size(); ++group) {
    const ReuseGroup& reuse = header.groups[group];
    if (attention_layer >= reuse.first_layer && attention_layer < reuse.first_layer + reuse.layer_count) {
      return static_cast<int32_t>(group);
    }
  }
  CHUNKKV_CHECK(false && "groups cover all attention layers");
  return -1;
}

absl::StatusOr<Bytes16> Digest(absl::Span<const std::byte> bytes, const Cancelled& cancelled) {
  const Bytes16 digest = DigestBytes(bytes, cancelled);
  if (cancelled && cancelled()) return absl::CancelledError("the reader is gone");
  return digest;
}

absl::Status VerifySlot(const TensorSlot& slot, absl::Span<const std::byte> body, const Cancelled& cancelled) {
  CHUNKKV_ASSIGN_OR_RETURN(const Bytes16 digest, Digest(body.subspan(slot.offset, slot.size_bytes), cancelled));
  if (digest == slot.digest) return absl::OkStatus();
  return ErrorStatus(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                     absl::StrCat(NameOf(slot), ": stored bytes differ from their digest"));
}

absl::Status RotateKeys(const TensorSlot& slot, const RopeShape& rope, absl::Span<const int32_t> positions,
                        absl::Span<const std::byte> source, const Compactor& compactor, const Cancelled& cancelled,
                        std::vector<std::byte>& destination) {
  destination.resize(source.size());
  RotateTask task;
  task.source = TokenMajorRows(source.data(), slot.spec.dtype, static_cast<int64_t>(positions.size()),
                               slot.spec.head_count, slot.spec.head_size);
  task.positions = positions;
  task.rope = &rope;
  task.destination = destination.data();
  Batch batch;
  batch.rotate = absl::MakeConstSpan(&task, 1);
  const Plan plan;
  ExecutionContext context;
  context.cancelled = cancelled;
  // Rotation asks for little or no scratch; its alignment is 64.
  const size_t workspace_bytes = compactor.WorkspaceBytes(plan, batch);
  std::vector<std::byte> workspace(workspace_bytes + 64);
  void* aligned = workspace.data();
  size_t space = workspace.size();
  CHUNKKV_CHECK(std::align(64, workspace_bytes, aligned, space) != nullptr);
  CHUNKKV_RETURN_IF_ERROR(
      compactor.Enqueue(plan, batch, absl::MakeSpan(static_cast<std::byte*>(aligned), workspace_bytes), context));
  return compactor.Wait(context);
}

}  // namespace

bool NeedsRotation(const EntryHeader& header, const ServeOptions& options) {
  return options.position_mode == PositionMode::kContiguous && !header.keys_contiguous;
}

absl::Status CheckServeOptions(const EntryHeader& header, const ServeOptions& options) {
  if (options.first_token < 0) return InvalidArgument("TOKEN_RANGE", "tokens.begin is negative");
  if (options.token_count < -1 || (options.token_count == 0 && header.token_count > 0)) {
    return InvalidArgument("TOKEN_RANGE", "tokens: the range is empty or reversed");
  }
  if (options.first_token >= header.token_count ||
      (options.token_count >= 0 && options.token_count > header.token_count - options.first_token)) {
    return ErrorStatus(absl::StatusCode::kOutOfRange, "TOKEN_RANGE",
                       absl::StrCat("tokens reach past the end of ", header.token_count));
  }
  if (IsTokenRange(header, options)) {
    if (header.outcome.policy_applied != Policy::kFull) {
      return FailedPrecondition("RANGE_OF_COMPACTED", "tokens: only a full entry can be served in part");
    }
    for (const LayerRun& run : header.layout) {
      if (!run.is_attention()) {
        return FailedPrecondition("RANGE_OF_VERBATIM",
                                  "tokens: the state of VERBATIM layers is that of the whole prompt");
      }
    }
  }
  if (options.position_mode == PositionMode::kOriginal && header.keys_contiguous) {
    return FailedPrecondition("KEYS_CONTIGUOUS", "position_mode: this entry's keys are stored at contiguous positions");
  }
  if (NeedsRotation(header, options)) {
    for (const LayerRun& run : header.layout) {
      if (!run.is_attention()) continue;
      if (!run.attention->rope.has_value()) {
        return FailedPrecondition("NO_ROPE", absl::StrCat("position_mode: layer ", run.first_layer,
                                                          " was stored without its rotary embedding"));
      }
      if (!IsScorable(run.attention->key_dtype)) {
        return Unimplemented("ROTATING_FP8", absl::StrCat("position_mode: fp8 keys of layer ", run.first_layer,
                                                          " cannot be re-rotated"));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ServedLayer> ServeLayer(const EntryHeader& header, absl::Span<const std::byte> body, int32_t layer,
                                       const ServeOptions& options, const Compactor& compactor) {
  ServedLayer served;
  served.layer = layer;
  const LayerRun* const run = FindRun(header.layout, layer);
  if (run == nullptr) {
    return ErrorStatus(absl::StatusCode::kOutOfRange, "LAYER_RANGE", absl::StrCat("layer ", layer, " does not exist"));
  }
  const bool ranged = IsTokenRange(header, options);
  for (const TensorSpec& spec : LayerTensors(header.layout, layer)) {
    const TensorSlot* const slot = header.FindTensor(layer, spec.kind, spec.name);
    CHUNKKV_CHECK(slot != nullptr);
    ServedTensor tensor;
    tensor.slot = slot;
    tensor.bytes = body.subspan(slot->offset, slot->size_bytes);
    tensor.digest = slot->digest;
    tensor.row_count = slot->row_count;
    const bool rotated = spec.kind == TensorKind::kKeys && NeedsRotation(header, options);
    if (spec.is_per_token() && (ranged || rotated)) {
      CHUNKKV_RETURN_IF_ERROR(VerifySlot(*slot, body, options.cancelled));
      if (ranged) {
        tensor.first_row = options.first_token;
        tensor.row_count = ServedTokens(header, options);
        tensor.bytes = tensor.bytes.subspan(tensor.first_row * spec.row_bytes, tensor.row_count * spec.row_bytes);
      }
      // Rows of a prefix already sit at positions 0.. of it: only rows that moved are rotated.
      if (rotated) {
        const int32_t group = GroupOf(header, AttentionIndex(header.layout, layer));
        const std::vector<int32_t> all = PositionsOf(header, group, slot->row_count);
        const auto positions = absl::MakeConstSpan(all).subspan(tensor.first_row, tensor.row_count);
        const bool moved = !positions.empty() && positions.back() != tensor.row_count - 1;
        if (moved) {
          served.scratch.emplace_back();
          CHUNKKV_RETURN_IF_ERROR(RotateKeys(*slot, *run->attention->rope, positions, tensor.bytes, compactor,
                                             options.cancelled, served.scratch.back()));
          tensor.bytes = served.scratch.back();
        }
      }
      CHUNKKV_ASSIGN_OR_RETURN(tensor.digest, Digest(tensor.bytes, options.cancelled));
    }
    served.tensors.push_back(tensor);
  }
  return served;
}

}  // namespace chunkkv
