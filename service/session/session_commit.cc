// The end of a put that succeeds: header, digests, the store.
#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "service/base/check.h"
#include "service/base/status_macros.h"
#include "service/format/digest.h"
#include "service/session/declared_header.h"
#include "service/session/session_core.h"

namespace chunkkv {
namespace {

std::vector<double> JaccardOf(const PutPlan& put, const std::vector<PositionsPtr>& positions) {
  if (positions.empty()) return {};
  std::vector<int32_t> everything;
  std::vector<absl::Span<const int32_t>> lists;
  for (const PositionsPtr& list : positions) {
    if (list == nullptr && everything.empty()) {
      everything.resize(put.plan.token_count);
      std::iota(everything.begin(), everything.end(), 0);
    }
    lists.push_back(list == nullptr ? absl::MakeConstSpan(everything) : absl::MakeConstSpan(*list));
  }
  // The caller who chose has no window.
  const int64_t past = put.is_external ? put.plan.token_count : put.plan.past_length;
  return AdjacentJaccard(lists, put.plan.sink_tokens, past);
}

}  // namespace

absl::StatusOr<std::optional<Bytes16>> SessionCore::CheckContentDigest() const {
  const std::optional<Bytes16> at_commit = [this] {
    MutexLock lock(mutex_);
    return commit_digest_;
  }();
  const bool is_declared = at_commit.has_value() || request_.content_digest.has_value();
  std::vector<Bytes16> digests;
  for (const LayerPlan& layer : put_.layers) {
    if (layer.attention_layer < 0) continue;
    const std::vector<Bytes16>& of_layer = content_digests_[layer.layer];
    if (of_layer.size() != layer.tensors.size()) {
      if (!is_declared) return std::nullopt;
      return Unimplemented("CONTENT_DIGEST",
                           "commit.content_digest: not all rows were kept; it must be declared at the beginning, and "
                           "cannot be where rows are selected before they are sent");
    }
    digests.insert(digests.end(), of_layer.begin(), of_layer.end());
  }
  const Bytes16 arrived = CombineDigests(digests);
  for (const std::optional<Bytes16>& digest : {at_commit, request_.content_digest}) {
    if (digest.has_value() && *digest != arrived) {
      return InvalidArgument("CONTENT_DIGEST", absl::StrCat("content_digest: what arrived has ", ToHex(arrived)));
    }
  }
  return arrived;
}

EntryHeader SessionCore::MakeHeader(EntryBody& body, const std::optional<Bytes16>& content_digest) {
  std::vector<PositionsPtr> positions;
  {
    MutexLock lock(mutex_);
    positions = positions_;
  }
  EntryHeader header = DeclaredHeader(request_, put_);
  header.block_digests = request_.prompt.digests;
  CompactionOutcome& outcome = header.outcome;
  outcome.policy_applied = selector_.kept_full_for_mass() ? Policy::kFull : put_.plan.policy;
  outcome.budget = selector_.budget();
  if (put_.is_external) {
    outcome.budget = std::equal(row_counts_.begin() + 1, row_counts_.end(), row_counts_.begin()) ? row_counts_[0] : 0;
  }
  outcome.raised_for_mass = selector_.raised_for_mass();
  outcome.kept_full_for_mass = selector_.kept_full_for_mass();
  outcome.retained_mass = selector_.Masses();
  outcome.adjacent_jaccard = JaccardOf(put_, positions);

  header.row_counts = row_counts_;
  header.positions.reserve(positions.size());
  for (size_t group = 0; group < positions.size(); ++group) {
    const bool everything = row_counts_[group] == put_.plan.token_count;
    header.positions.push_back(everything ? std::vector<int32_t>() : *positions[group]);
  }
  header.tensors = std::move(body.slots());
  header.entry_digest = EntryDigest(header.tensors);
  header.content_digest = content_digest;
  if (request_.ttl_ms > 0) header.expires_unix_ms = clock_.UnixMs() + request_.ttl_ms;
  return header;
}

void SessionCore::Finalize() {
  if (cancelled_.load(std::memory_order_relaxed)) return;
  const absl::StatusOr<std::optional<Bytes16>> content_digest = CheckContentDigest();
  if (!content_digest.ok()) return End(content_digest.status());
  std::shared_ptr<EntryBody> body;
  PutSummary summary;
  // Released after the lock.
  std::shared_ptr<EntryBody> rows;
  std::vector<BufferPtr> sinks;
  std::vector<std::shared_ptr<ScoreInputs>> scores;
  {
    MutexLock lock(mutex_);
    if (end_.has_value()) return;
    committed_ = true;
    body = std::exchange(body_, nullptr);
    if (final_body_ != nullptr) {
      peak_staging_bytes_ = std::max(peak_staging_bytes_, body->buffer()->size_bytes());
      rows = std::exchange(body, std::exchange(final_body_, nullptr));
    }
    std::swap(sinks, free_sinks_);
    std::swap(scores, scores_);
    summary.received_bytes = received_bytes_;
    summary.peak_staging_bytes = peak_staging_bytes_;
  }
  rows = nullptr;
  sinks.clear();
  scores.clear();
  summary.stored_bytes = body->buffer()->size_bytes();
  summary.compaction_time_us = runner_.elapsed_us();
  EntryHeader header = MakeHeader(*body, *content_digest);
  runner_.Release();
  BudgetShare header_share = memory_.TakeShare(staging_.header_bytes);
  memory_.Close().clear();
  absl::StatusOr<CommitResult> result = store_.Commit(token_, identity_, std::move(header), std::move(*body->buffer()),
                                                      {.pin_ms = request_.pin_ms}, std::move(header_share));
  body = nullptr;
  const absl::Status status = result.ok() ? absl::OkStatus() : result.status();
  if (result.ok()) {
    store_.CountPut(request_.tenant, summary.received_bytes, result->already_stored ? 0 : summary.stored_bytes);
    summary.entry = std::move(result->entry);
    summary.already_stored = result->already_stored;
    summary.pin = result->pin;
    if (recorded_ != nullptr) std::exchange(recorded_, nullptr)->Commit();
  }
  {
    MutexLock lock(mutex_);
    end_ = status;
    Wake();
    callbacks_.PushLast([this, status, summary = std::move(summary)] { listener_->OnEnd(status, summary); });
  }
  callbacks_.Deliver();
}

}  // namespace chunkkv
